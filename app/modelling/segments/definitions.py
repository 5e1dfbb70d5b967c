"""The named cells of recency, frequency and monetary value: which segment a customer's scores mean, said once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentDefinition:
    """One segment of a segmentation: its stable key, its name, what it stands for."""

    key: str
    name: str
    meaning: str


# From the best customers to those who are gone; answers list them in this order.
RFM_SEGMENTS = (
    SegmentDefinition("champions", "Champions", "bought recently, often and for much"),
    SegmentDefinition("loyal_customers", "Loyal Customers", "bought often or for much, and not long ago"),
    SegmentDefinition("potential_loyalists", "Potential Loyalists", "bought recently, a middling amount"),
    SegmentDefinition("new_customers", "New Customers", "bought recently, and little so far"),
    SegmentDefinition("promising", "Promising", "bought fairly recently, and little so far"),
    SegmentDefinition("need_attention", "Need Attention", "bought a middling amount, a while ago"),
    SegmentDefinition("about_to_sleep", "About To Sleep", "bought little, a while ago"),
    SegmentDefinition("at_risk", "At Risk", "bought a fair amount or much, long ago"),
    SegmentDefinition("cannot_lose_them", "Cannot Lose Them", "bought often and for much, longest ago"),
    SegmentDefinition("hibernating", "Hibernating", "bought little, long ago"),
    SegmentDefinition("lost", "Lost", "bought least, longest ago"),
)

# By recency score, then by the mean of the frequency and the monetary score, 1 to 5 from left to right.
_GRID: Mapping[int, tuple[str, str, str, str, str]] = {
    5: ("new_customers", "potential_loyalists", "potential_loyalists", "champions", "champions"),
    4: ("promising", "potential_loyalists", "loyal_customers", "champions", "champions"),
    3: ("about_to_sleep", "need_attention", "need_attention", "loyal_customers", "loyal_customers"),
    2: ("hibernating", "about_to_sleep", "at_risk", "at_risk", "at_risk"),
    1: ("lost", "hibernating", "at_risk", "cannot_lose_them", "cannot_lose_them"),
}

RFM_CELLS: Mapping[tuple[int, int], str] = {
    (recency, value): key for recency, row in _GRID.items() for value, key in enumerate(row, start=1)
}


def rfm_segment(*, recency: int, frequency: int, monetary: int) -> str:
    """The key of the segment for scores 1 (worst) to 5 (best); frequency and monetary count as their mean."""
    half_up = (frequency + monetary + 1) // 2
    return RFM_CELLS[recency, half_up]
