"""How a command says what went wrong: one sentence, what helps, and an exit code; never a traceback for the expected."""

import sys
from collections.abc import Iterator

USAGE, FAILED, INTERRUPTED = 2, 1, 130
LOCK_NOT_AVAILABLE = "55P03"


class CommandFailed(Exception):
    """Something a person can mend; `remedy` says how."""

    exit_code = FAILED

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


class WrongUsage(CommandFailed):
    """The command line or a setting is wrong."""

    exit_code = USAGE


def say(line: str) -> None:
    """One line for the person at the terminal; standard output is kept for results."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def explain(error: Exception) -> CommandFailed | None:
    """The same error as a sentence and a remedy; None when nobody foresaw it."""
    if isinstance(error, CommandFailed):
        return error
    from app.db.embedded.errors import EmbeddedPostgresError
    from app.errors import TesseraError

    if isinstance(error, EmbeddedPostgresError):
        return CommandFailed(error.message, remedy=error.remedy)
    if isinstance(error, TesseraError):
        return CommandFailed("\n  ".join([error.detail, *(f"{e.pointer}: {e.detail}" for e in error.errors)]))
    return _of_the_settings(error) or _of_the_database(error)


def _of_the_settings(error: Exception) -> CommandFailed | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    return WrongUsage(
        "\n  ".join(["the settings cannot be used:", *_lines(error)]),
        remedy="mend them in the environment or in .env; docs/settings.md describes each",
    )


def _lines(error: Exception) -> Iterator[str]:
    """What is wrong with each setting, without its value: it may be a secret."""
    from pydantic import ValidationError

    from app.config import PREFIX, Settings

    assert isinstance(error, ValidationError)
    for flaw in error.errors(include_input=False, include_url=False):
        name = PREFIX + str(flaw["loc"][0]).upper() if flaw["loc"] else ""
        known = not flaw["loc"] or flaw["loc"][0] in Settings.model_fields
        reason = flaw["msg"].removeprefix("Value error, ") if known else "there is no such setting"
        yield f"{name}: {reason}" if name else reason


def _of_the_database(error: Exception) -> CommandFailed | None:
    from psycopg import Error
    from sqlalchemy.exc import DBAPIError

    from app.db.failures import is_database_away

    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, Error) and cause.sqlstate == LOCK_NOT_AVAILABLE:
        return CommandFailed(
            "a lock on a table could not be had within 5 seconds: something else is using it",
            remedy="try again when less is going on; nothing was changed",
        )
    if is_database_away(error):
        return CommandFailed(
            f"the database cannot be reached: {str(cause).strip()}",
            remedy="see that it runs and that TESSERA_DATABASE_URL is right; `tessera check` looks into it",
        )
    if isinstance(cause, Error):
        return CommandFailed(f"the database refused: {str(cause).strip()}")
    return None
