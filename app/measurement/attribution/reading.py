"""Journeys of a question, read as distinct paths: refused where they are too many, or amounts have no rate."""

from datetime import date

from anyio import to_thread

from app.db.engine import Session
from app.errors import FieldError, InvalidInput, MissingRates
from app.measurement.attribution import repository
from app.measurement.attribution.credit import Credited, credited
from app.measurement.attribution.definitions import MAX_CHANNELS, MAX_PATHS
from app.measurement.attribution.question import Question


async def credit_of(session: Session, question: Question) -> tuple[list[Credited], list[str]]:
    """The credit by group, and the names of all channels that were touched. Raises InvalidInput, MissingRates."""
    names, paths = await repository.journeys(
        session, question, names_at_most=MAX_CHANNELS + 1, paths_at_most=MAX_PATHS + 1
    )
    if len(names) > MAX_CHANNELS:
        raise _too_many("by", f"more than {MAX_CHANNELS} of them were touched")
    await refuse_unconverted(session, question, sum(path.unconverted for path in paths))
    if len(paths) > MAX_PATHS:
        raise _too_many("look_back_days", f"more than {MAX_PATHS} distinct paths")
    # Milliseconds as a rule; a chain of high order takes longer than the event loop may wait.
    return await to_thread.run_sync(credited, question, names, paths), names


async def refuse_unconverted(session: Session, question: Question, unconverted: int) -> None:
    """Refuse sums that leave something out. Raises MissingRates."""
    if not unconverted:
        return
    missing = await repository.missing_rates(session, question)
    to = question.reporting.currency
    codes = ", ".join(currency for currency, _, _ in missing)
    errors = [FieldError("currency", "missing_exchange_rate", _said(each, to)) for each in missing]
    raise MissingRates(f"Amounts in {codes} have no rate to {to} on some days", errors=errors)


def _said(missing: tuple[str, int, list[date]], to: str) -> str:
    currency, days, first = missing
    return f"no rate from {currency} to {to} for {days} day(s) with purchases; first {', '.join(map(str, first))}"


def _too_many(pointer: str, what: str) -> InvalidInput:
    hint = "ask for a shorter window or look-back, or for channels instead of campaigns"
    return InvalidInput(f"{what}; {hint}", errors=[FieldError(pointer, "too_many_paths", f"{what}; {hint}")])
