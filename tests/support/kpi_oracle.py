"""Key figures by the plainest Python there is: one loop over all facts, exact fractions, the calendar of zoneinfo.

It shares nothing with the service but the names of the metrics: no SQL, no sufficient statistics, no period edges.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import sqrt
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import psycopg
from scipy.stats import t as student_t
from sqlalchemy import make_url

METRICS = (
    "purchases",
    "buyers",
    "new_customers",
    "revenue_gross",
    "refunds",
    "revenue_net",
    "average_order_value",
)
INTERVALS = (None, "day", "week", "month", "quarter", "year")
DIMENSIONS = ("segment", "channel", "campaign")
DIGITS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
# A rate given on a day also serves the 7 days after it, until the next one.
RATE_LASTS_DAYS = 7
MICROSECOND = timedelta(microseconds=1)
SEGMENTATION = UUID("5e900000-0000-4000-8000-000000000000")


@dataclass(frozen=True)
class Fact:
    """One transaction."""

    transaction_id: str
    occurred_at: datetime
    amount_minor: int
    customer_id: str | None = "C-1"
    kind: str = "purchase"
    currency: str = "EUR"
    channel: str | None = None
    campaign_id: str | None = None
    source: str = "crm"


@dataclass(frozen=True)
class Stay:
    """A customer in a segment from one instant to another."""

    customer_id: str
    segment: str
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True)
class Rate:
    on: date
    from_: str
    to: str
    rate: Fraction


@dataclass
class World:
    """Everything that happened, and how it is reported."""

    facts: list[Fact] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    segments: tuple[str, ...] = ()
    currency: str = "EUR"
    zone: str = "UTC"


def segment_id(key: str) -> UUID:
    return uuid5(SEGMENTATION, key)


def store(world: World, database_url: str) -> None:
    """Replace what the database holds by this world; its segmentation is active."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("truncate transactions, memberships, segments, segmentation_versions, segmentations cascade")
        cursor.execute("truncate exchange_rates")
        cursor.executemany(
            "insert into transactions (transaction_id, occurred_at, amount_minor, customer_id, kind, currency, channel,"
            " campaign_id, source) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [tuple(vars(fact).values()) for fact in world.facts],
        )
        cursor.executemany(
            "insert into exchange_rates (on_day, from_currency, to_currency, rate) values (%s, %s, %s, %s)",
            [(r.on, r.from_, r.to, str(float(r.rate))) for r in world.rates],
        )
        if world.segments:
            _store_segmentation(world, cursor)


def _store_segmentation(world: World, cursor: psycopg.Cursor) -> None:
    add_segmentation(cursor, SEGMENTATION, "Customers by value")
    cursor.executemany(
        "insert into segments (segment_id, segmentation_id, key, name, position) values (%s, %s, %s, %s, %s)",
        [(segment_id(key), SEGMENTATION, key, key.title(), place) for place, key in enumerate(world.segments)],
    )
    cursor.executemany(
        "insert into memberships (segmentation_id, customer_id, segment_id, version, valid_from, valid_to,"
        " since, evaluated_at) values (%s, %s, %s, 1, %s, %s, now(), now())",
        [(SEGMENTATION, s.customer_id, segment_id(s.segment), s.valid_from, s.valid_to) for s in world.stays],
    )


def add_segmentation(cursor: psycopg.Cursor, segmentation_id: UUID, name: str) -> None:
    """A segmentation whose first version is active."""
    cursor.execute(
        "insert into segmentations (segmentation_id, name, method) values (%s, %s, 'rfm')", (segmentation_id, name)
    )
    cursor.execute(
        "insert into segmentation_versions (segmentation_id, version, status, trained_at, as_of, activated_at)"
        " values (%s, 1, 'active', now(), now(), now())",
        (segmentation_id,),
    )


def answer(
    world: World,
    *,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    interval: str | None = None,
    customers: str = "all",
    metrics: Sequence[str] = METRICS,
) -> list[dict[str, Any]]:
    """The rows that GET /v1/kpis owes for this question, in their order."""
    counted = [fact for fact in world.facts if fact.amount_minor > 0 and start <= fact.occurred_at < end]
    if customers != "all":
        counted = [fact for fact in counted if (fact.customer_id is not None) == (customers == "known")]
    firsts = _first_purchases(world)
    relevant = [fact for fact in counted if _concerns(fact, metrics, firsts)]
    inside: dict[tuple[Any, Any], list[Fact]] = {}
    for fact in counted:
        inside.setdefault((_group(world, fact, group_by), _label(_day(fact, world), interval)), []).append(fact)
    periods = _periods(start, end, interval, world.zone)
    rows = []
    for metric in metrics:
        for group in _groups(world, relevant, group_by):
            for period in periods:
                found = _figure(metric, inside.get((group, period), []), firsts, world, customers)
                rows.append({"metric": metric, "group": _shown(group, group_by), "period": period, **found})
    return rows


def _figure(metric: str, facts: list[Fact], firsts: dict[str, Fact], world: World, customers: str) -> dict[str, Any]:
    purchases = [fact for fact in facts if fact.kind == "purchase"]
    refunds = [fact for fact in facts if fact.kind == "refund"]
    if metric == "purchases":
        return _count(len(purchases))
    if metric in ("buyers", "new_customers") and customers == "guest":
        return _row(None, n=0, numerator=None, reason="guests_are_anonymous")
    if metric == "buyers":
        return _count(len({fact.customer_id for fact in purchases} - {None}))
    if metric == "new_customers":
        return _count(sum(firsts.get(fact.customer_id or "") is fact for fact in purchases))
    gross = [_reported(fact, world) for fact in purchases]
    back = [_reported(fact, world) for fact in refunds]
    if metric == "average_order_value":
        return _mean(gross, DIGITS[world.currency])
    amounts = {"revenue_gross": gross, "refunds": back, "revenue_net": gross + [-amount for amount in back]}[metric]
    total = float(Fraction(sum(amounts), 10 ** DIGITS[world.currency]))
    return _row(total, n=len(amounts), numerator=total)


def _count(n: int) -> dict[str, Any]:
    return _row(n, n=n, numerator=n)


def _row(value: float | None, *, n: int, numerator: float | None, **rest: Any) -> dict[str, Any]:
    bounds = {"low": None, "high": None, "level": None}
    return {"value": value, **bounds, "n": n, "numerator": numerator, "denominator": None, **rest}


def _mean(amounts: list[int], digits: int) -> dict[str, Any]:
    n, unit = len(amounts), 10**digits
    parts = {"n": n, "numerator": float(Fraction(sum(amounts), unit)), "denominator": n}
    if n == 0:
        return _row(None, **parts, reason="zero_denominator")
    mean = Fraction(sum(amounts), n * unit)
    row = _row(float(mean), **parts)
    if n == 1 or len(set(amounts)) == 1:
        return row | {"reason": "too_few" if n == 1 else "zero_variance"}
    variance = sum((Fraction(amount, unit) - mean) ** 2 for amount in amounts) / (n - 1)
    half = float(student_t.ppf(0.975, n - 1)) * sqrt(variance / n)
    return row | {"low": float(mean) - half, "high": float(mean) + half, "level": 0.95}


def _reported(fact: Fact, world: World) -> int:
    """Minor units of the reporting currency, rounded half away from zero."""
    if fact.currency == world.currency:
        return fact.amount_minor
    rate = _rate(fact.currency, _day(fact, world), world)
    exact = Fraction(fact.amount_minor, 10 ** DIGITS[fact.currency]) * rate * 10 ** DIGITS[world.currency]
    return int(exact + Fraction(1, 2))


def _rate(currency: str, day: date, world: World) -> Fraction:
    for back in range(RATE_LASTS_DAYS + 1):
        on = day - timedelta(days=back)
        direct = [r.rate for r in world.rates if (r.on, r.from_, r.to) == (on, currency, world.currency)]
        turned = [1 / r.rate for r in world.rates if (r.on, r.from_, r.to) == (on, world.currency, currency)]
        if direct or turned:
            return (direct + turned)[0]
    raise LookupError(f"no rate for {currency} on {day}")


def _first_purchases(world: World) -> dict[str, Fact]:
    firsts: dict[str, Fact] = {}
    in_order = sorted(world.facts, key=lambda fact: (fact.occurred_at, fact.source, fact.transaction_id))
    for fact in in_order:
        if fact.kind == "purchase" and fact.amount_minor > 0 and fact.customer_id is not None:
            firsts.setdefault(fact.customer_id, fact)
    return firsts


def _concerns(fact: Fact, metrics: Sequence[str], firsts: dict[str, Fact]) -> bool:
    """Whether any of the metrics is about this fact, so that its group is shown."""
    if fact.kind == "refund":
        return not {"refunds", "revenue_net"}.isdisjoint(metrics)
    return (
        not {"purchases", "revenue_gross", "revenue_net", "average_order_value"}.isdisjoint(metrics)
        or ("buyers" in metrics and fact.customer_id is not None)
        or ("new_customers" in metrics and firsts.get(fact.customer_id or "") is fact)
    )


def _segment(world: World, fact: Fact) -> str | None:
    stays = sorted((s for s in world.stays if s.customer_id == fact.customer_id), key=lambda s: s.valid_from)
    if not stays:
        return None
    if fact.occurred_at < stays[0].valid_from:
        # What a customer did before the first membership counts to that one, were it over already or not.
        return stays[0].segment
    there = [
        s for s in stays if s.valid_from <= fact.occurred_at and (s.valid_to is None or fact.occurred_at < s.valid_to)
    ]
    return there[0].segment if there else None


def _group(world: World, fact: Fact, group_by: Sequence[str]) -> tuple[str | None, ...]:
    of = {
        "segment": lambda: _segment(world, fact),
        "channel": lambda: fact.channel,
        "campaign": lambda: fact.campaign_id,
    }
    return tuple(of[dimension]() for dimension in group_by)


def _groups(world: World, facts: Iterable[Fact], group_by: Sequence[str]) -> list[tuple[str | None, ...]]:
    if not group_by:
        return [()]
    groups = {_group(world, fact, group_by) for fact in facts}
    if tuple(group_by) == ("segment",):
        groups |= {(key,) for key in world.segments}

    def place(group: tuple[str | None, ...]) -> list[tuple[bool, Any]]:
        return [
            (value is None, "" if value is None else world.segments.index(value) if dimension == "segment" else value)
            for dimension, value in zip(group_by, group, strict=True)
        ]

    return sorted(groups, key=place)


def _shown(group: tuple[str | None, ...], group_by: Sequence[str]) -> dict[str, str | None]:
    shown: dict[str, str | None] = {}
    for dimension, value in zip(group_by, group, strict=True):
        shown[dimension] = value
        if dimension == "segment":
            shown["segment"] = None if value is None else str(segment_id(value))
            shown |= {"segment_key": value, "segment_name": None if value is None else value.title()}
    return shown


def _day(fact: Fact, world: World) -> date:
    return fact.occurred_at.astimezone(ZoneInfo(world.zone)).date()


def _periods(start: datetime, end: datetime, interval: str | None, zone: str) -> list[str | None]:
    """The names of all periods with an instant in the window, found hour by hour."""
    found: dict[str | None, None] = {}
    instant = start
    while instant < end:
        found.setdefault(_label(instant.astimezone(ZoneInfo(zone)).date(), interval))
        instant += timedelta(hours=1)
    found.setdefault(_label((end - MICROSECOND).astimezone(ZoneInfo(zone)).date(), interval))
    return list(found)


def _label(day: date, interval: str | None) -> str | None:
    return {
        None: None,
        "day": day.strftime("%Y-%m-%d"),
        "week": day.strftime("%G-W%V"),
        "month": day.strftime("%Y-%m"),
        "quarter": f"{day.year}-Q{1 + (day.month - 1) // 3}",
        "year": day.strftime("%Y"),
    }[interval]


# A few weeks around a change of clocks, a date line crossing, a new year; where local midnight is far from UTC's.
SCENES = (
    ("America/Los_Angeles", datetime(2026, 10, 20, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 20, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 8, 28, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 20, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2025, 12, 20, tzinfo=UTC)),
    ("UTC", datetime(2026, 6, 20, tzinfo=UTC)),
)
SCENE_DAYS = 40
# Decimals whose inverses are short decimals, too, so that a turned rate is exact.
EXACT_RATES = tuple(Fraction(rate) for rate in ("0.5", "0.8", "1.25", "1.6", "0.625", "2", "0.064"))


def a_world(rng: random.Random, *, facts: int = 60) -> World:
    """A world with everything in it that can go wrong: edges of days, ties, gaps, guests, refunds, currencies."""
    zone, begins = rng.choice(SCENES)
    world = World(currency=rng.choice(("EUR", "JPY", "KWD")), zone=zone)
    days = [(begins + timedelta(days=offset)).date() for offset in range(-10, SCENE_DAYS + 10)]
    midnights = [datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) for d in days[1:]]
    instants = [_instant(rng, begins, midnights) for _ in range(facts)]
    currencies = [world.currency] if rng.random() < 0.4 else ["EUR", "USD", "JPY", "KWD"]
    world.facts = [_a_fact(rng, number, instants, currencies) for number in range(facts)]
    for foreign in set(currencies) - {world.currency}:
        world.rates += _some_rates(rng, days, foreign, world.currency)
    world.segments = ("champions", "loyal", "asleep")
    for number in range(8):
        world.stays += _some_stays(rng, f"C-{number}", instants, world.segments)
    return world


def _instant(rng: random.Random, begins: datetime, midnights: list[datetime]) -> datetime:
    if rng.random() < 0.5:
        return begins + timedelta(seconds=rng.randrange(SCENE_DAYS * 86_400))
    return rng.choice(midnights) + rng.choice((-MICROSECOND, timedelta(), MICROSECOND))


def _a_fact(rng: random.Random, number: int, instants: list[datetime], currencies: list[str]) -> Fact:
    return Fact(
        transaction_id=f"T-{number:03}",
        occurred_at=rng.choice(instants),
        amount_minor=rng.choice((0, 1, 5, 1_000, rng.randrange(1, 100_000), rng.randrange(10**17))),
        customer_id=rng.choice((None, *(f"C-{customer}" for customer in range(10)))),
        kind=rng.choice(("purchase", "purchase", "purchase", "refund")),
        currency=rng.choice(currencies),
        channel=rng.choice((None, "web", "store")),
        campaign_id=rng.choice((None, None, "spring")),
        source=rng.choice(("crm", "shop")),
    )


def _some_rates(rng: random.Random, days: list[date], foreign: str, reporting: str) -> list[Rate]:
    """Rates for the first day and then every few, in either direction or in both."""
    rates, at = [], 0
    while at < len(days):
        ways = rng.choice(
            (((foreign, reporting),), ((reporting, foreign),), ((foreign, reporting), (reporting, foreign)))
        )
        rates += [Rate(days[at], from_, to, rng.choice(EXACT_RATES)) for from_, to in ways]
        at += rng.randrange(1, RATE_LASTS_DAYS + 1)
    return rates


def _some_stays(rng: random.Random, customer: str, instants: list[datetime], segments: tuple[str, ...]) -> list[Stay]:
    """None, one or several stretches, with gaps or without, the last one open or closed."""
    edges = sorted(set(rng.sample(instants, rng.randrange(7))))
    stays = [Stay(customer, rng.choice(segments), a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    if rng.random() < 0.5:
        stays = [Stay(customer, rng.choice(segments), a, b) for a, b in pairwise(edges)]
    if stays and rng.random() < 0.5:
        last = stays.pop()
        stays.append(Stay(customer, last.segment, last.valid_from))
    return stays
