"""What customers did besides buying, in SQL: visits and what followed, clicks and opens, answers to surveys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Numeric, Subquery, Text, and_, case, cast, func, literal, select, union_all

from app.db.engine import Session
from app.measurement.kpis.estimates import Sums
from app.measurement.kpis.facts import bought_by_known, facts, inside
from app.measurement.kpis.kinds import Kind
from app.measurement.kpis.question import Question
from app.measurement.kpis.repository import Counted
from app.tables.events import events
from app.tables.transactions import transactions

VISITS, CONVERSIONS = ("visit", "page_view"), ("conversion", "sign_up")


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be answered, by type of event: what may follow it; and how both are called once counted."""

    answered_by: dict[str, str]
    reached: Kind
    answered: Kind


CLICKS = Reach({"impression": "click", "email_sent": "email_click"}, "reached", "clicked")
OPENS = Reach({"email_sent": "email_open"}, "mailed", "opened")


@dataclass(frozen=True, slots=True)
class Survey:
    """A question of surveys: the property with its range, and per kind which answers it counts."""

    question: str
    lowest: int
    highest: int
    counted: dict[Kind, tuple[float, float]]


# Answers are taken as they are: 8.5 is no promoter and 6.5 no detractor.
CSAT = Survey("csat", 1, 5, {"csat_answer": (1, 5), "csat_satisfied": (4, 5)})
NPS = Survey("nps", 0, 10, {"nps_answer": (0, 10), "nps_promoter": (9, 10), "nps_detractor": (0, 6)})


async def visitors(session: Session, question: Question, *, at_most: int) -> list[Counted]:
    """Two per group and period with a visit of a known customer: visitors, and those converted; no order.

    Converted is who bought, converted or signed up in that period, not before the first visit in that group, however
    the purchase is tagged.
    """
    v = facts(question, events, *_of_known(question, VISITS)).c
    keys = [v.period, *(v[dimension] for dimension in question.group_by)]
    first = func.min(v.occurred_at).label("first")
    visits = select(*keys, v.customer_id, first).group_by(*keys, v.customer_id).subquery()
    o = facts(replace(question, group_by=()), _outcomes(question)).c
    last = func.max(o.occurred_at).label("last")
    outcomes = select(o.customer_id, o.period, last).group_by(o.customer_id, o.period).subquery()
    same = and_(outcomes.c.customer_id == visits.c.customer_id, outcomes.c.period == visits.c.period)
    converted = func.count().filter(outcomes.c.last >= visits.c.first)
    named = [visits.c[key.name] for key in keys]
    query = select(*named, func.count(), converted).join_from(visits, outcomes, same, isouter=True)
    rows = await session.execute(query.group_by(*named).limit(at_most))
    return _counted(rows.all(), ("visitor", "converted_visitor"))


async def responses(session: Session, question: Question, reach: Reach, *, at_most: int) -> list[Counted]:
    """Two per group and period with something to answer: those, and those answered in that period; no order.

    Each customer, campaign and medium counts once in a group and period. Group is that of what is answered.
    """
    touches = {touch: touch for touch in reach.answered_by}
    sent = facts(question, _touches(question, touches), carried=("about", "medium")).c
    keys = [sent.period, *(sent[dimension] for dimension in question.group_by)]
    reached = select(*keys, sent.customer_id, sent.about, sent.medium).distinct().subquery()
    back = {answer: touch for touch, answer in reach.answered_by.items()}
    a = facts(replace(question, group_by=()), _touches(question, back), carried=("about", "medium")).c
    answers = select(a.period, a.customer_id, a.about, a.medium).distinct().subquery()
    same = and_(*(answers.c[name] == reached.c[name] for name in ("period", "customer_id", "about", "medium")))
    named = [reached.c[key.name] for key in keys]
    query = select(*named, func.count(), func.count(answers.c.period)).join_from(reached, answers, same, isouter=True)
    rows = await session.execute(query.group_by(*named).limit(at_most))
    return _counted(rows.all(), (reach.reached, reach.answered))


async def answers_to(session: Session, question: Question, survey: Survey, *, at_most: int) -> list[Counted]:
    """One per kind of answer, group and period with an answer; every answer counts; no order."""
    f = facts(question, _scores(question, survey), carried=("score",)).c
    keys = [f.period, *(f[dimension] for dimension in question.group_by)]
    counts = [func.count().filter(f.score.between(*ends)) for ends in survey.counted.values()]
    rows = await session.execute(select(*keys, *counts).group_by(*keys).limit(at_most))
    return _counted(rows.all(), tuple(survey.counted))


def _counted(rows: Sequence[Any], kinds: tuple[Kind, ...]) -> list[Counted]:
    """Rows of period, groups and one count per kind."""
    return [
        Counted(kind, row[0], tuple(row[1 : -len(kinds)]), Sums(n, n, n))
        for row in rows
        for kind, n in zip(kinds, row[-len(kinds) :], strict=True)
    ]


def _of_known(question: Question, types: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    """Events of the types in the window; those of erased customers cannot be told apart and are left out."""
    return events.c.type.in_(types), events.c.customer_id.is_not(None), inside(question, events)


def _outcomes(question: Question) -> Subquery:
    bought = select(transactions.c.customer_id, transactions.c.occurred_at).where(
        bought_by_known(transactions), inside(question, transactions)
    )
    converted = select(events.c.customer_id, events.c.occurred_at).where(*_of_known(question, CONVERSIONS))
    return union_all(bought, converted).subquery()


def _touches(question: Question, media: dict[str, str]) -> Subquery:
    """Events of these types, each with its medium and the campaign that it is about, empty where there is none."""
    e = events.c
    about = func.coalesce(e.campaign_id, "").label("about")
    medium = case(*((e.type == type_, literal(name, Text)) for type_, name in media.items())).label("medium")
    columns = (e.customer_id, e.occurred_at, e.channel, e.campaign_id, about, medium)
    return select(*columns).where(*_of_known(question, tuple(media))).subquery()


def _scores(question: Question, survey: Survey) -> Subquery:
    e = events.c
    given = e.properties[survey.question]
    score = case((func.jsonb_typeof(given) == "number", cast(given, Numeric))).label("score")
    conditions = [e.type == "survey", inside(question, events)]
    if question.customers == "known":
        conditions.append(e.customer_id.is_not(None))
    rows = select(e.customer_id, e.occurred_at, e.channel, e.campaign_id, score).where(*conditions)
    found = rows.offset(0).subquery()
    return select(found).where(found.c.score.between(survey.lowest, survey.highest)).subquery()
