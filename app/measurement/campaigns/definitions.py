"""What can be compared between the arms of a campaign, each metric said once: for answers, schemas and documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import FieldError, UnknownMetric

Kind = Literal["mean", "share", "ratio"]
# What is known of each assigned customer over their window; money in minor units of the reporting currency.
Figure = Literal["revenue", "margin", "bought", "converted", "visited", "clicked", "gross"]

VISITS = ("visit", "page_view")
CLICKS = ("click", "email_click")
CONVERSIONS = ("conversion", "sign_up")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: a mean of money, a share of customers, or a ratio of two sums; `noun` is how a sentence names it."""

    name: str
    kind: Kind
    figure: Figure
    noun: str
    meaning: str

    @property
    def is_money(self) -> bool:
        return self.kind != "share"


METRICS = (
    Metric(
        "revenue_per_customer",
        "mean",
        "revenue",
        "revenue per customer",
        "Purchases less refunds of every assigned customer, buyer or not, in the reporting currency.",
    ),
    Metric(
        "margin_per_customer",
        "mean",
        "margin",
        "margin per customer",
        "The same of the margins; unknown as soon as one transaction says none.",
    ),
    Metric("purchase_rate", "share", "bought", "purchase rate", "Assigned customers with a purchase above 0."),
    Metric(
        "conversion_rate",
        "share",
        "converted",
        "conversion rate",
        "Assigned customers with a conversion or sign_up event or a purchase above 0.",
    ),
    Metric("visit_rate", "share", "visited", "visit rate", "Assigned customers with a visit or page_view event."),
    Metric("click_rate", "share", "clicked", "click rate", "Assigned customers with a click or email_click event."),
    Metric(
        "average_order_value",
        "ratio",
        "gross",
        "average order value",
        "Purchases, before refunds, per purchase. Compares those who bought, who may differ between arms.",
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}
NAMES = ", ".join(BY_NAME)


def named(names: Sequence[str], *, pointer: str = "metric") -> tuple[Metric, ...]:
    """The metrics of these names, each once. Raises UnknownMetric."""
    flaws = [
        FieldError(pointer, "unknown_metric", f"{name!r} is none of {NAMES}") for name in names if name not in BY_NAME
    ]
    if flaws:
        raise UnknownMetric(flaws[0].detail, errors=flaws)
    return tuple(BY_NAME[name] for name in dict.fromkeys(names))
