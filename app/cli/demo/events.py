"""Events as columns, gathered from the parts of the shop that cause them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.cli.demo.draws import Codes, Flags, Instants, Integers
from app.cli.demo.seasons import DAY, Season

# csat and nps are both answers to surveys.
KINDS = (
    "visit",
    "page_view",
    "email_sent",
    "email_open",
    "email_click",
    "impression",
    "click",
    "csat",
    "nps",
    "support",
)
VISIT, PAGE_VIEW, EMAIL_SENT, EMAIL_OPEN, EMAIL_CLICK, IMPRESSION, CLICK, CSAT, NPS, SUPPORT = range(len(KINDS))
TOPICS = ("delivery", "refund", "product", "account")
NONE = -1


@dataclass(frozen=True, slots=True)
class Part:
    """Events of one kind; single values hold for all of them. second: since the shop's first day."""

    kind: int
    customer: Integers
    second: Integers
    channel: Codes | int = NONE
    campaign: int = NONE
    detail: Integers | int = NONE

    def where(self, chosen: Flags) -> "Part":
        channel, detail = self.channel, self.detail
        return Part(
            self.kind,
            self.customer[chosen],
            self.second[chosen],
            channel if isinstance(channel, int) else channel[chosen],
            self.campaign,
            detail if isinstance(detail, int) else detail[chosen],
        )


@dataclass(frozen=True, slots=True)
class Events:
    """All events by time.

    kind: position in KINDS. channel: position in `catalogue.CHANNELS`, campaign: position among the campaigns, -1 for
    none. detail: the product of a page view, the score of a survey, the topic of a support case, else -1.
    """

    kind: Codes
    customer: Integers
    occurred_at: Instants
    channel: Codes
    campaign: Codes
    detail: Integers

    def __len__(self) -> int:
        return self.kind.size


def gathered(parts: Sequence[Part], season: Season) -> Events:
    """All parts by time, without what lies after the season's end."""
    second = np.concatenate([part.second for part in parts])
    order = np.argsort(second, kind="stable")
    order = order[second[order] < season.days * DAY]

    def column(values: Sequence[Integers | Codes | int]) -> Integers:
        wide = [np.broadcast_to(value, part.customer.shape) for value, part in zip(values, parts, strict=True)]
        return np.concatenate(wide, dtype=np.int64)[order]

    return Events(
        kind=column([part.kind for part in parts]).astype(np.int8),
        customer=column([part.customer for part in parts]),
        occurred_at=season.instants(second[order]),
        channel=column([part.channel for part in parts]).astype(np.int8),
        campaign=column([part.campaign for part in parts]).astype(np.int8),
        detail=column([part.detail for part in parts]),
    )
