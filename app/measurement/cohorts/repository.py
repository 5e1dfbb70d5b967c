"""Cohorts in SQL: who first bought in which period, and what they bought in each."""

from sqlalchemy import Integer, func, literal, select

from app.db.engine import Session
from app.measurement.kpis.facts import bought_by_known, facts, inside
from app.measurement.kpis.question import Question
from app.measurement.rollups.concerned import Bought
from app.tables.transactions import transactions


async def bought(session: Session, question: Question, *, priced: bool, converted: bool, at_most: int) -> list[Bought]:
    """One per cohort and period with a purchase of a member; no order; at most `at_most`.

    A member's first purchase ever lies in the window. Amounts are added up only if `priced`.
    """
    t = transactions.c
    first = func.min(t.occurred_at).label("occurred_at")
    firsts = (
        select(t.customer_id, first)
        .where(bought_by_known(transactions), t.occurred_at < question.window.end)
        .group_by(t.customer_id)
        .having(first >= question.window.start)
        .subquery()
    )
    members = facts(question, firsts).c
    f = facts(
        question, transactions, bought_by_known(transactions), inside(question, transactions), converted=converted
    ).c
    amounts = (func.sum(f.amount), func.count().filter(f.amount.is_(None))) if priced else (literal(0, Integer),) * 2
    labelled = (amounts[0].label("amount"), amounts[1].label("unconverted"))
    each = select(f.customer_id, f.period, *labelled).group_by(f.customer_id, f.period).subquery().c
    keys = (members.period, each.period)
    sums = (func.count(), func.coalesce(func.sum(each.amount), 0), func.sum(each.unconverted))
    query = select(*keys, *sums).where(members.customer_id == each.customer_id).group_by(*keys).limit(at_most)
    rows = await session.execute(query)
    return [Bought(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in rows]
