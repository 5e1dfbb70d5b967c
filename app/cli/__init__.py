"""The command line: one command that starts, feeds and looks after a whole service."""

import sys

from app.cli.failures import INTERRUPTED, explain, say


def main() -> None:
    """The entry point: runs a command and turns what goes wrong into a sentence and an exit code."""
    from app.cli.application import application

    try:
        application()
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        found = explain(error)
        if found is None:
            raise
        say(f"error: {found.message}")
        if found.remedy:
            say(f"  {found.remedy}")
        sys.exit(found.exit_code)
