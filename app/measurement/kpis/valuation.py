"""What customers are worth by the active CLV model, in SQL."""

from sqlalchemy import DateTime, func, literal, select

from app.db.engine import Session
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.facts import facts
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted, sum_of_squares
from app.tables.predictions import clv_scores, predictive_models


async def has_active_model(session: Session) -> bool:
    """Whether a CLV model serves."""
    m = predictive_models.c
    found = await session.scalar(select(m.model_id).where(m.kind == "clv", m.status == "active"))
    return found is not None


async def values_of_customers(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """One per group with a customer of determined value; a customer is in the segment of now; no order."""
    s, m = clv_scores.c, predictive_models.c
    now = literal(question.reporting.now, DateTime(timezone=True)).label("occurred_at")
    scores = (
        select(s.customer_id, now, s.clv_minor)
        .join(predictive_models, m.model_id == s.model_id)
        .where(m.kind == "clv", m.status == "active", s.clv_minor.is_not(None))
        .subquery()
    )
    f = facts(question, scores, carried=("clv_minor",)).c
    keys = [f[dimension] for dimension in question.group_by]
    sums = (func.count(), func.sum(f.clv_minor), sum_of_squares(f.clv_minor, converted=False))
    rows = await session.execute(select(*keys, *sums).group_by(*keys).limit(at_most))
    return [Counted("valued_customer", 1, tuple(row[:-3]), Sums(row[-3], int(row[-2]), int(row[-1]))) for row in rows]
