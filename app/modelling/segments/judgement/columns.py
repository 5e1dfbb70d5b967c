"""What is read beside a method's own features so that its segments can be described and judged."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from app.modelling.features.attributes import holding
from app.modelling.features.compiler import AS_OF
from app.modelling.features.definitions import Feature, features_named
from app.modelling.features.derived import Derived
from app.tables.customers import customers
from app.tables.events import events
from app.tables.transactions import transactions

REVENUE = "total_spend"

# One feature of each meaning: net beside gross spend, or rates beside counts, would say the same thing twice.
JUDGED: tuple[Feature, ...] = features_named(
    (
        "days_since_last_purchase",
        "days_since_first_purchase",
        "purchase_count",
        REVENUE,
        "average_order_value",
        "days_between_purchases",
        "spend_trend_90d",
        "refund_share",
        "items_per_purchase",
        "discount_share",
        "dominant_channel",
        "days_since_last_event",
        "visit_count_90d",
        "email_open_rate_90d",
        "mean_csat",
    )
)

CONSENT_MARKETING = "consent_marketing"
CONSENT_PROFILING = "consent_profiling"
REACHABLE = "reachable"
EXPOSED = "campaigns_exposed"
RESPONDED = "campaigns_responded"

ADDRESSES = ("email", "phone")
EXPOSURES = ("email_sent", "impression")
RESPONSES = ("email_click", "click", "conversion")
# Mail that was sent, opened or clicked went to an address.
MAIL = ("email_sent", "email_open", "email_click")

_c, _e, _t = customers.c, events.c, transactions.c


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(value, Double)


def _consent(flag: ColumnElement[Any]) -> ColumnElement[Any]:
    """1 given, 0 refused; null: nobody asked."""
    return _number(case((flag.is_(True), 1), (flag.is_(False), 0)))


def _own_events(*types: str) -> ColumnElement[bool]:
    return and_(_e.customer_id == _c.customer_id, _e.occurred_at < AS_OF, _e.type.in_(types))


def _has_address() -> ColumnElement[bool]:
    """Whether the attributes that held at as_of give one, or mail was ever sent."""
    held = holding(AS_OF)
    given = [held.c.document.op("->>", return_type=Text())(literal(key, Text)) for key in ADDRESSES]
    written = func.coalesce(or_(*(func.btrim(each) != "" for each in given)), False)
    stored = select(written).select_from(held).correlate(customers).scalar_subquery()
    return or_(stored, exists().where(_own_events(*MAIL)).correlate(customers))


def _exposed() -> ColumnElement[Any]:
    campaigns = select(func.count(_e.campaign_id.distinct())).where(_own_events(*EXPOSURES))
    return _number(campaigns.correlate(customers).scalar_subquery())


def _responded() -> ColumnElement[Any]:
    """Campaigns whose last response or purchase is not before the first exposure: then something followed it."""
    moments = union_all(_exposures_and_responses(), _purchases()).subquery("moments")
    first, last = func.min(moments.c.exposed_at), func.max(moments.c.responded_at)
    answered = select(moments.c.campaign_id).group_by(moments.c.campaign_id).having(last >= first).subquery("answered")
    return _number(select(func.count()).select_from(answered).scalar_subquery())


def _exposures_and_responses() -> Select[Any]:
    at = _e.occurred_at
    return (
        select(
            _e.campaign_id,
            case((_e.type.in_(EXPOSURES), at)).label("exposed_at"),
            case((_e.type.in_(RESPONSES), at)).label("responded_at"),
        )
        .where(_own_events(*EXPOSURES, *RESPONSES), _e.campaign_id.is_not(None))
        .correlate(customers)
    )


def _purchases() -> Select[Any]:
    at = _t.occurred_at
    return (
        select(_t.campaign_id, case((literal(False), at)).label("exposed_at"), at.label("responded_at"))
        .where(_t.customer_id == _c.customer_id, at < AS_OF, _t.kind == "purchase", _t.campaign_id.is_not(None))
        .correlate(customers)
    )


# Consents are those of today: what was allowed once may not be done any more.
CIRCUMSTANCES: tuple[Derived, ...] = (
    Derived(CONSENT_MARKETING, "number", _consent(_c.consent_marketing)),
    Derived(CONSENT_PROFILING, "number", _consent(_c.consent_profiling)),
    Derived(REACHABLE, "number", _number(case((and_(_c.consent_marketing.is_(True), _has_address()), 1), else_=0))),
    Derived(EXPOSED, "number", _exposed()),
    Derived(RESPONDED, "number", _responded()),
)
