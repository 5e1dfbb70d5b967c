"""Whether money has to be converted at all: a shop of one currency does not pay for looking."""

from sqlalchemy import exists, or_, select

from app.db.engine import Session
from app.tables.money import exchange_rates


async def has_rates(session: Session, currency: str) -> bool:
    """Whether any rate from or to this currency was given."""
    r = exchange_rates.c
    given = exists().where(or_(r.from_currency == currency, r.to_currency == currency))
    return bool(await session.scalar(select(given)))
