"""The words in which features speak of people; each is relative: against everybody else in the population."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.modelling.features.attributes import PREFIX
from app.modelling.features.definitions import Feature

Direction = Literal["high", "low", "is", "is_not"]
LONGEST = 40
NON_BUYERS, ONE_TIME_BUYERS = "non-buyers", "one-time buyers"
NOUNS = (NON_BUYERS, ONE_TIME_BUYERS)
# What "very" can stand before.
_GRADABLE = re.compile(
    r"(recent|lapsed|new|long-standing|frequent|infrequent|high|low|large|small|long|short|many|few|full|wide|narrow"
    r"|regular|irregular|seasonal)\b"
)


@dataclass(frozen=True, slots=True)
class Words:
    """How a feature is said. theme: features of one theme mean about the same, and one of them is enough.

    signed: high is only said of medians above 0 and low of those below; otherwise they would promise growth where
    there is only less decline.
    """

    theme: str
    high: str
    low: str
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One word of a name; a noun stands last."""

    text: str
    is_noun: bool = False

    @property
    def is_gradable(self) -> bool:
        return not self.is_noun and _GRADABLE.match(self.text) is not None


_WORDS: Mapping[str, Words] = {
    "days_since_last_purchase": Words("recency", "lapsed", "recent"),
    "days_since_first_purchase": Words("tenure", "long-standing", "new"),
    "purchase_count": Words("frequency", "frequent", "infrequent"),
    "purchase_days": Words("frequency", "frequent", "infrequent"),
    "purchase_count_30d": Words("frequency lately", "frequent lately", "infrequent lately"),
    "purchase_count_90d": Words("frequency lately", "frequent lately", "infrequent lately"),
    "purchase_count_365d": Words("frequency lately", "frequent lately", "infrequent lately"),
    "days_between_purchases": Words("rhythm", "long gaps", "short gaps"),
    "total_spend": Words("spend", "high spend", "low spend"),
    "net_spend": Words("spend", "high net spend", "low net spend"),
    "total_spend_30d": Words("spend lately", "high recent spend", "low recent spend"),
    "total_spend_90d": Words("spend lately", "high recent spend", "low recent spend"),
    "total_spend_365d": Words("spend lately", "high recent spend", "low recent spend"),
    "gross_margin": Words("margin", "high margin", "low margin"),
    "refund_total": Words("refunds", "more refunds", "fewer refunds"),
    "refund_share": Words("refunds", "more refunds", "fewer refunds"),
    "refunds_per_purchase": Words("refunds", "more refunds", "fewer refunds"),
    "average_order_value": Words("order value", "large orders", "small orders"),
    "spend_trend_90d": Words("trend", "growing", "declining", signed=True),
    "purchase_trend_90d": Words("trend", "growing", "declining", signed=True),
    "peak_quarter": Words("season", "", ""),
    "peak_quarter_share": Words("seasonality", "seasonal", "all-year"),
    "purchase_gap_variation": Words("regularity", "irregular", "regular"),
    "channel_count": Words("channels", "many channels", "few channels"),
    "dominant_channel": Words("channel", "", ""),
    "dominant_channel_share": Words("channels", "one channel", "mixed channels"),
    "items_per_purchase": Words("basket", "full baskets", "small baskets"),
    "products_per_purchase": Words("basket", "varied baskets", "plain baskets"),
    "discount_share": Words("discounts", "high discounts", "low discounts"),
    "distinct_products": Words("range", "wide range", "narrow range"),
    "days_since_last_event": Words("activity", "long quiet", "lately active"),
    "event_count": Words("activity", "many events", "few events"),
    "days_since_last_visit": Words("visits", "long since a visit", "lately visiting"),
    "visit_count_90d": Words("visits", "many visits", "few visits"),
    "page_view_count_90d": Words("page views", "many page views", "few page views"),
    "days_since_last_email_open": Words("opens", "long since an email opened", "lately opening emails"),
    "email_open_count_90d": Words("opens", "many email opens", "few email opens"),
    "email_open_rate_90d": Words("opens", "high open rate", "low open rate"),
    "click_count_90d": Words("clicks", "many clicks", "few clicks"),
    "email_click_rate_90d": Words("clicks", "high click rate", "low click rate"),
    "last_csat": Words("satisfaction", "high satisfaction", "low satisfaction"),
    "mean_csat": Words("satisfaction", "high satisfaction", "low satisfaction"),
    "last_nps": Words("recommendation", "high NPS", "low NPS"),
}
# Categories whose values say by themselves what they are.
_SPEAKING = {"peak_quarter", "dominant_channel"}


def theme_of(feature: Feature) -> str:
    words = _WORDS.get(feature.name)
    # An attribute is a theme of its own; the prefix keeps it apart from those above.
    return words.theme if words else feature.name


def label_of(feature: Feature) -> str:
    """The feature's name as people write it."""
    if feature.name.startswith(PREFIX):
        return shortened(feature.name.removeprefix(PREFIX))
    return feature.name.replace("_", " ")


def number_said(feature: Feature, direction: Direction, quartiles: tuple[float, float, float]) -> Said:
    """The word for a number that is high or low; quartiles are those of the segment."""
    high, median = direction == "high", quartiles[1]
    if feature.name == "purchase_count" and not high:
        if quartiles[2] == 0:
            return Said(NON_BUYERS, is_noun=True)
        if quartiles[0] == quartiles[2] == 1:
            return Said(ONE_TIME_BUYERS, is_noun=True)
    words = _WORDS.get(feature.name)
    if words and (not words.signed or (median > 0 if high else median < 0)):
        return Said(words.high if high else words.low)
    if feature.dtype == "date":
        return Said(f"{'earlier' if high else 'later'} {label_of(feature)}")
    return Said(f"{'high' if high else 'low'} {label_of(feature)}")


def category_said(feature: Feature, direction: Direction, level: str, share: float) -> Said:
    """The word for a level that members have more or less often than others, and what share of them has it."""
    what = shortened(level) if feature.name in _SPEAKING else f"{label_of(feature)} {shortened(level)}"
    if direction == "is":
        return Said(f"{'mostly' if share > 0.5 else 'more often'} {what}")
    return Said(f"{'never' if share == 0 else 'less often'} {what}")


def shortened(text: str) -> str:
    """One line of at most 40 characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
