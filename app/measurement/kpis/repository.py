"""Key figures in SQL: sufficient statistics by group and period, one select for each grain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    Row,
    Select,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db.engine import Session
from app.measurement.kpis.definitions import Kind
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.facts import counted, facts
from app.measurement.kpis.question import Question
from app.tables.money import exchange_rates
from app.tables.segments import segmentation_versions, segmentations, segments
from app.tables.transactions import transactions

# The largest whole number whose square is a bigint.
SAFE_TO_SQUARE = 3_037_000_499
SHOWN_DAYS, SHOWN_CURRENCIES, SHOWN_SEGMENTATIONS = 5, 20, 10

Group = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """Statistics of one kind in one group and period (from 1); `unconverted` facts are in n but not in the sums."""

    kind: Kind
    group: Group
    period: int
    sums: Sums
    unconverted: int = 0


async def plan_for_these_values(session: Session) -> None:
    """Have every statement of this transaction planned for its own window: a plan for any window suits none."""
    await session.execute(text("set local plan_cache_mode = force_custom_plan"))


async def horizon(session: Session) -> tuple[datetime | None, datetime | None]:
    """The first occurred_at and the newest received_at of all transactions; nulls when there are none."""
    t = transactions.c
    first, newest = (await session.execute(select(func.min(t.occurred_at), func.max(t.received_at)))).one()
    return first, newest


async def has_rates(session: Session, currency: str) -> bool:
    """Whether a rate from or to this currency was ever given."""
    r = exchange_rates.c
    return bool(await session.scalar(select(exists().where(or_(r.from_currency == currency, r.to_currency == currency)))))
