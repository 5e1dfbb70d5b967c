"""Features in plain Python over lists of facts: slow, obvious, and written without looking at the SQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

Value = int | float | None


@dataclass(frozen=True)
class Transaction:
    at: datetime
    kind: str
    cents: int
    currency: str = "EUR"


@dataclass(frozen=True)
class Event:
    at: datetime
    type: str


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
    """Every feature of one customer. Reporting currencies with two digits only."""
    known = [each for each in transactions if each.at < as_of]
    seen = [each for each in events if each.at < as_of]
    purchases = [each for each in known if each.kind == "purchase"]
    paid = [each for each in purchases if each.cents > 0]
    refunds = [each for each in known if each.kind == "refund"]

    def day(at: datetime) -> date:
        return at.astimezone(zone).date()

    def cents(some: Sequence[Transaction]) -> int:
        total = 0
        for each in some:
            factor = rate(each.currency, day(each.at))
            assert factor is not None, "amounts without a rate have no sum"
            total += int((each.cents * factor).quantize(Decimal(1), ROUND_HALF_UP))
        return total

    def recent(some: Sequence[Transaction]) -> list[Transaction]:
        return [each for each in some if each.at >= as_of - timedelta(days=90)]

    def days_since(ats: Sequence[datetime]) -> list[int]:
        return sorted((as_of - at) // timedelta(days=1) for at in ats)

    purchase_ages = days_since([each.at for each in purchases])
    event_ages = days_since([each.at for each in seen])
    counts = [each.type for each in seen if each.at >= as_of - timedelta(days=90)]
    return {
        "days_since_last_purchase": purchase_ages[0] if purchase_ages else None,
        "days_since_first_purchase": purchase_ages[-1] if purchase_ages else None,
        "purchase_count": len(paid),
        "purchase_count_90d": len(recent(paid)),
        "purchase_days": len({day(each.at) for each in purchases}),
        "total_spend": cents(purchases) / 100,
        "total_spend_90d": cents(recent(purchases)) / 100,
        "refund_total": cents(refunds) / 100,
        "net_spend": (cents(purchases) - cents(refunds)) / 100,
        "average_order_value": cents(purchases) / (100 * len(paid)) if paid else None,
        "days_since_last_event": event_ages[0] if event_ages else None,
        "event_count": len(seen),
        "visit_count_90d": counts.count("visit"),
        "email_open_count_90d": counts.count("email_open"),
        "click_count_90d": counts.count("click") + counts.count("email_click"),
    }
