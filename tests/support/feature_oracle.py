"""Features in plain Python over lists of facts: slow, obvious, and written without looking at the SQL."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

Value = int | float | str | None


@dataclass(frozen=True)
class Line:
    product: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True)
class Transaction:
    at: datetime
    kind: str
    cents: int
    currency: str = "EUR"
    channel: str | None = None
    margin: int | None = None
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Event:
    at: datetime
    type: str
    answers: Mapping[str, int] = field(default_factory=dict)


# Factor from cents of a currency on a day to cents of the reporting one; null: there is no rate.
Rate = Callable[[str, date], Decimal | None]


def oracle(
    transactions: Sequence[Transaction],
    events: Sequence[Event],
    *,
    as_of: datetime,
    zone: ZoneInfo,
    rate: Rate = lambda currency, day: Decimal(1),
) -> dict[str, Value]:
    """Every feature of one customer. Reporting currencies with two digits only; facts are in order of their keys."""
    known = [each for each in transactions if each.at < as_of]
    seen = [each for each in events if each.at < as_of]
    return {**_of_purchases(known, as_of, zone, rate), **_of_baskets(known), **_of_events(seen, as_of)}


def _share(numerator: float | Decimal, denominator: float | Decimal) -> float | None:
    return float(numerator) / float(denominator) if denominator else None


def _ages(ats: Sequence[datetime], as_of: datetime) -> list[int]:
    return sorted((as_of - at) // timedelta(days=1) for at in ats)


def _of_purchases(known: Sequence[Transaction], as_of: datetime, zone: ZoneInfo, rate: Rate) -> dict[str, Value]:
    purchases = [each for each in known if each.kind == "purchase"]
    paid = [each for each in purchases if each.cents > 0]
    refunds = [each for each in known if each.kind == "refund"]

    def day(at: datetime) -> date:
        return at.astimezone(zone).date()

    def converted(minor: int, each: Transaction) -> int:
        factor = rate(each.currency, day(each.at))
        assert factor is not None, "amounts without a rate have no sum"
        return int((minor * factor).quantize(Decimal(1), ROUND_HALF_UP))

    def cents(some: Sequence[Transaction]) -> int:
        return sum(converted(each.cents, each) for each in some)

    def recent(some: Sequence[Transaction], days: int) -> list[Transaction]:
        return [each for each in some if each.at >= as_of - timedelta(days=days)]

    def before(some: Sequence[Transaction]) -> list[Transaction]:
        return [each for each in recent(some, 180) if each.at < as_of - timedelta(days=90)]

    def margins(some: Sequence[Transaction]) -> list[int]:
        return [converted(each.margin, each) for each in some if each.margin is not None]

    ages = _ages([each.at for each in purchases], as_of)
    days = sorted({day(each.at) for each in purchases})
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    quarters = Counter((day(each.at).month + 2) // 3 for each in paid)
    peak = min(quarters, key=lambda quarter: (-quarters[quarter], quarter)) if quarters else None
    channels = Counter(each.channel for each in paid if each.channel is not None)
    favourite = min(channels, key=lambda name: (-channels[name], name.encode())) if channels else None
    spend_now, spend_before = cents(recent(purchases, 90)), cents(before(purchases))
    count_now, count_before = len(recent(paid, 90)), len(before(paid))
    known_margins = [*margins(purchases), *margins(refunds)]
    spread = len(gaps) * sum(gap * gap for gap in gaps) - sum(gaps) ** 2
    return {
        "days_since_last_purchase": ages[0] if ages else None,
        "days_since_first_purchase": ages[-1] if ages else None,
        "purchase_count": len(paid),
        "purchase_count_30d": len(recent(paid, 30)),
        "purchase_count_90d": count_now,
        "purchase_count_365d": len(recent(paid, 365)),
        "purchase_days": len(days),
        "days_between_purchases": _share(sum(gaps), len(gaps)),
        "purchase_gap_variation": math.sqrt(spread) / sum(gaps) if len(gaps) >= 2 else None,
        "total_spend": cents(purchases) / 100,
        "total_spend_30d": cents(recent(purchases, 30)) / 100,
        "total_spend_90d": spend_now / 100,
        "total_spend_365d": cents(recent(purchases, 365)) / 100,
        "refund_total": cents(refunds) / 100,
        "net_spend": (cents(purchases) - cents(refunds)) / 100,
        "gross_margin": (sum(margins(purchases)) - sum(margins(refunds))) / 100 if known_margins else None,
        "average_order_value": _share(cents(purchases), 100 * len(paid)),
        "refund_share": _share(cents(refunds), cents(purchases)),
        "refunds_per_purchase": _share(len(refunds), len(paid)),
        "spend_trend_90d": _share(spend_now - spend_before, spend_now + spend_before),
        "purchase_trend_90d": _share(count_now - count_before, count_now + count_before),
        "peak_quarter": f"Q{peak}" if peak else None,
        "peak_quarter_share": _share(max(quarters.values(), default=0), len(paid)),
        "channel_count": len(channels),
        "dominant_channel": favourite,
        "dominant_channel_share": _share(max(channels.values(), default=0), channels.total()),
    }


def _of_baskets(known: Sequence[Transaction]) -> dict[str, Value]:
    baskets = [each.lines for each in known if each.kind == "purchase" and each.lines]
    goods = [[line for line in lines if line.quantity > 0 and line.price >= 0] for lines in baskets]
    discounts = []
    for lines in baskets:
        values = [line.quantity * line.price for line in lines]
        positive = sum(value for value in values if value > 0)
        if positive:
            off = -sum((value for value in values if value < 0), Decimal(0)) / positive
            discounts.append(off.quantize(Decimal("1e-12"), ROUND_HALF_UP))
    return {
        "items_per_purchase": _share(sum(line.quantity for lines in goods for line in lines), len(baskets)),
        "products_per_purchase": _share(sum(len({line.product for line in lines}) for lines in goods), len(baskets)),
        "discount_share": _share(sum(discounts), len(discounts)),
        "distinct_products": len({line.product for lines in goods for line in lines}),
    }


def _of_events(seen: Sequence[Event], as_of: datetime) -> dict[str, Value]:
    def age_of(*types: str) -> int | None:
        ages = _ages([each.at for each in seen if not types or each.type in types], as_of)
        return ages[0] if ages else None

    counts = Counter(each.type for each in seen if each.at >= as_of - timedelta(days=90))
    surveys = [(each.at, place, each.answers) for place, each in enumerate(seen) if each.type == "survey"]
    surveys.sort(key=lambda survey: survey[:2])

    def answers(name: str) -> list[int]:
        return [given[name] for *_, given in surveys if name in given]

    csat, nps, sent = answers("csat"), answers("nps"), counts["email_sent"]
    return {
        "days_since_last_event": age_of(),
        "days_since_last_visit": age_of("visit"),
        "days_since_last_email_open": age_of("email_open"),
        "event_count": len(seen),
        "visit_count_90d": counts["visit"],
        "page_view_count_90d": counts["page_view"],
        "email_open_count_90d": counts["email_open"],
        "click_count_90d": counts["click"] + counts["email_click"],
        "email_open_rate_90d": _share(min(counts["email_open"], sent), sent),
        "email_click_rate_90d": _share(min(counts["email_click"], sent), sent),
        "last_csat": csat[-1] if csat else None,
        "last_nps": nps[-1] if nps else None,
        "mean_csat": _share(sum(csat), len(csat)),
    }
