"""Which selects a question needs, and their answers side by side: statistics of every kind by group and period."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import cast

from sqlalchemy import ColumnElement

from app.db.engine import Session
from app.errors import FieldError, MissingRates
from app.measurement.kpis import ahead, engagement, loyalty, repository, spending, valuation
from app.measurement.kpis.definitions import BY_NAME
from app.measurement.kpis.engagement import CLICKS, CSAT, NPS, OPENS
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.grid import Cells, Group
from app.measurement.kpis.kinds import ADVERTISED_KINDS, COST_KINDS, TRANSACTION_KINDS, Kind
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted
from app.measurement.rates import has_rates


async def cells_of(session: Session, question: Question, *, at_most: int) -> Cells:
    """Everything the key figures of the question are made of. Raises MissingRates."""
    kinds, found = await ahead.counted(session, question)
    if any(each.unconverted for each in found if each.kind in question.priced_kinds):
        raise await missing_rates(session, question, converted=True)
    if question.kinds & TRANSACTION_KINDS - kinds:
        found += await _transaction_sums(session, question, at_most=at_most)
    if question.kinds & ADVERTISED_KINDS:
        found += await _advertised_sums(session, question, at_most=at_most)
    for kind in sorted(question.kinds & COST_KINDS):
        found += await spending.costs_of(session, question, kind)
    found += await _of_customers(session, question, question.kinds - kinds, at_most=at_most)
    found += await _of_events(session, question, at_most=at_most)
    return _by_cell(found)


async def _of_customers(session: Session, question: Question, kinds: frozenset[Kind], *, at_most: int) -> list[Counted]:
    found = list[Counted]()
    if "repeat_buyer" in kinds:
        found += await loyalty.repeat_buyers(session, question, at_most=at_most)
    elif "buyer" in kinds:
        found += await repository.buyers(session, question, at_most=at_most)
    if "new_customer" in kinds:
        found += await repository.new_customers(session, question, at_most=at_most)
    if "active_before" in kinds:
        found += await loyalty.retained(session, question, at_most=at_most)
    if "valued_customer" in kinds:
        found += await valuation.values_of_customers(session, question, at_most=at_most)
    return found


async def _of_events(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    kinds, found = question.kinds, list[Counted]()
    if "visitor" in kinds:
        found += await engagement.visitors(session, question, at_most=at_most)
    for reach in (CLICKS, OPENS):
        if reach.reached in kinds:
            found += await engagement.responses(session, question, reach, at_most=at_most)
    for survey in (CSAT, NPS):
        if not kinds.isdisjoint(survey.counted):
            found += await engagement.answers_to(session, question, survey, at_most=at_most)
    return found


async def _advertised_sums(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """Sales that are advertised; all, where each group has media costs of its own or none."""
    revenue = replace(question, kpis=(BY_NAME["revenue_net"],))
    grouped = not {"channel", "campaign"}.isdisjoint(question.group_by)
    only = repository.ALL if grouped else spending.advertised(question)
    found = await _transaction_sums(session, revenue, at_most=at_most, only=only)
    return [replace(each, kind=cast(Kind, f"advertised_{each.kind}")) for each in found]


async def _transaction_sums(
    session: Session, question: Question, *, at_most: int, only: ColumnElement[bool] = repository.ALL
) -> list[Counted]:
    priced, currency = question.priced_kinds, question.reporting.currency
    # Where no rate was ever given nothing can be converted: a shop of one currency does not pay for looking.
    converted = bool(priced) and await has_rates(session, currency)
    found = await repository.transaction_sums(session, question, converted=converted, at_most=at_most, only=only)
    if any(each.unconverted for each in found if each.kind in priced):
        raise await missing_rates(session, question, converted=converted, only=only)
    return found


async def missing_rates(
    session: Session, question: Question, *, converted: bool, only: ColumnElement[bool] = repository.ALL
) -> MissingRates:
    """The error that names the days without a rate, once some transaction was found to have none."""
    found = await repository.missing_rates(session, question, converted=converted, only=only)
    return _missing_rates(found, to=question.reporting.currency)


def _by_cell(found: Sequence[Counted]) -> Cells:
    cells: defaultdict[tuple[Group, int], dict[Kind, Sums]] = defaultdict(dict)
    for each in found:
        cells[each.group, each.period][each.kind] = each.sums
    return cells


def _missing_rates(missing: Sequence[tuple[str, int, list[date]]], *, to: str) -> MissingRates:
    detail = "no rate from {} to {} for {} day(s) with transactions; first {}"
    return MissingRates(
        f"Amounts in {', '.join(currency for currency, _, _ in missing)} have no rate to {to} on some days",
        errors=[
            FieldError(
                "currency", "missing_exchange_rate", detail.format(currency, to, days, ", ".join(map(str, first)))
            )
            for currency, days, first in missing
        ],
    )
