"""Features of what somebody does besides buying: visits, mail, clicks, answers to surveys."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.modelling.features.facts import (
    Expression,
    Facts,
    Feature,
    Missing,
    leaves,
    next_day,
    ratio,
    whole_days,
)

WINDOW_DAYS = 90


def _last(*types: str) -> Expression:
    def last(facts: Facts) -> ColumnElement[Any]:
        latest = func.max(facts.occurred_at)
        return latest.filter(facts.kind.in_(types)) if types else latest

    return last


def _days_since(name: str, what: str, *types: str, missing: Missing) -> Feature:
    last = _last(*types)
    return Feature(
        name,
        unit="days",
        kind="days",
        dtype="integer",
        grain="events",
        missing=missing,
        meaning=f"Whole days from the last {what} to as_of.",
        expression=lambda facts: whole_days(facts, last(facts)),
        changes_at=lambda facts: next_day(facts, last(facts)),
    )


def _recent(facts: Facts, *types: str) -> ColumnElement[Any]:
    return func.count().filter(and_(facts.kind.in_(types), facts.recent(WINDOW_DAYS)))


def _count_of(name: str, *types: str) -> Feature:
    return Feature(
        f"{name}_count_{WINDOW_DAYS}d",
        unit="events",
        kind="count",
        dtype="integer",
        grain="events",
        missing="zero",
        meaning=f"Events of type {' or '.join(types)} in the last {WINDOW_DAYS} days.",
        expression=lambda facts: _recent(facts, *types),
        changes_at=lambda facts: leaves(facts, facts.kind.in_(types), days=WINDOW_DAYS),
        window_days=WINDOW_DAYS,
    )


def _rate_of(name: str, done: str, what: str) -> Feature:
    return Feature(
        f"{name}_{WINDOW_DAYS}d",
        unit="share",
        kind="share",
        dtype="number",
        grain="events",
        missing="no_emails_sent",
        meaning=f"Events of type {done} / email_sent in the last {WINDOW_DAYS} days, at most 1: {what} of one email "
        "are not told apart.",
        # least() passes over null, which must stay: nothing sent is not everything opened.
        expression=lambda facts: ratio(
            func.least(_recent(facts, done), _recent(facts, "email_sent")), _recent(facts, "email_sent")
        ),
        changes_at=lambda facts: leaves(facts, facts.kind.in_((done, "email_sent")), days=WINDOW_DAYS),
        window_days=WINDOW_DAYS,
    )


def _last_answer(name: str, meaning: str) -> Feature:
    def latest(answers: Any) -> ColumnElement[Any]:
        order = (answers.occurred_at.desc(), answers.source.desc(), answers.event_id.desc())
        given = func.array_agg(aggregate_order_by(answers[name], *order)).filter(answers[name].is_not(None))
        return given[1]

    return Feature(
        f"last_{name}",
        unit="points",
        kind="number",
        dtype="number",
        grain="answers",
        missing="no_answers",
        meaning=meaning,
        expression=latest,
    )


ENGAGEMENT = (
    _days_since("days_since_last_event", "event of any type", missing="no_events"),
    _days_since("days_since_last_visit", "event of type visit", "visit", missing="no_visits"),
    _days_since("days_since_last_email_open", "event of type email_open", "email_open", missing="no_email_opens"),
    Feature(
        "event_count",
        unit="events",
        kind="count",
        dtype="integer",
        grain="events",
        missing="zero",
        meaning="Events of any type.",
        expression=lambda _facts: func.count(),
    ),
    _count_of("visit", "visit"),
    _count_of("page_view", "page_view"),
    _count_of("email_open", "email_open"),
    _count_of("click", "click", "email_click"),
    _rate_of("email_open_rate", "email_open", "several openings"),
    _rate_of("email_click_rate", "email_click", "several clicks"),
    _last_answer("csat", "The last answer to a survey's csat, 1 to 5; of one instant the last by source and event."),
    _last_answer("nps", "The last answer to a survey's nps, 0 to 10; of one instant the last by source and event."),
    Feature(
        "mean_csat",
        unit="points",
        kind="number",
        dtype="number",
        grain="answers",
        missing="no_answers",
        meaning="Mean of all answers to surveys' csat, 1 to 5.",
        expression=lambda answers: ratio(func.sum(answers.csat), func.count(answers.csat)),
    ),
)
