"""What is fixed about churn: who is looked at, by which features, and what a customer is taken to be worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.modelling.features.attributes import PREFIX

KIND: Literal["churn"] = "churn"

# What a model of inactivity learns from unless it is told: how recently, often, regularly and for how much somebody
# buys and which way that is going. Left out are figures that only say when somebody was looked at (the quarter), and
# windows of a year, which are the whole of a short history at one cutoff and a part of it at the next.
FROM_PURCHASES = (
    "days_since_last_purchase",
    "days_since_first_purchase",
    "purchase_count",
    "purchase_count_30d",
    "purchase_count_90d",
    "purchase_days",
    "days_between_purchases",
    "total_spend",
    "total_spend_90d",
    "average_order_value",
    "refund_share",
    "spend_trend_90d",
)
# The same of lines; taken where purchases have any.
FROM_ITEMS = ("distinct_products",)
RECENCY, AGE, NET_SPEND = "days_since_last_purchase", "days_since_first_purchase", "net_spend"
# What everybody's expected value is worked out from where no model of lifetime value is active.
FOR_VALUE = (AGE, NET_SPEND)

# Whoever has not bought for so long has left by any measure: not learned from, or telling them apart from the others
# would be what makes a model look good. They are scored all the same.
LOOK_BACK_DAYS = 730
# A label has no horizon; what a customer is worth is then said for a year.
VALUE_DAYS_OF_LABELS = 365
# What counts as having left where nobody said, in any case of letters.
POSITIVE_WORDS = frozenset({"yes", "true", "1", "y", "churned"})


def look_back_days(horizon_days: int) -> int:
    """How long ago the last purchase of anybody may lie who is learned from and judged on."""
    return max(LOOK_BACK_DAYS, 2 * horizon_days)


@dataclass(frozen=True, slots=True)
class Definition:
    """What leaving means: no purchase in the next horizon_days, or a value of an attribute.

    positive: the text of the attribute that means having left; null until it was settled.
    """

    kind: Literal["inactivity", "label"]
    horizon_days: int | None
    attribute: str | None
    positive: str | None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "Definition":
        return cls(asked["kind"], asked.get("horizon_days"), asked.get("attribute"), asked.get("positive"))

    @property
    def label(self) -> str:
        """The feature that holds the label."""
        return PREFIX + (self.attribute or "").removeprefix(PREFIX)

    @property
    def value_days(self) -> int:
        """Over how many days expected value is told."""
        return self.horizon_days or VALUE_DAYS_OF_LABELS

    @property
    def look_back_days(self) -> int | None:
        return None if self.horizon_days is None else look_back_days(self.horizon_days)

    def shown(self) -> dict[str, Any]:
        if self.kind == "inactivity":
            return {"kind": self.kind, "horizon_days": self.horizon_days, "look_back_days": self.look_back_days}
        return {"kind": self.kind, "attribute": self.attribute, "positive": self.positive}
