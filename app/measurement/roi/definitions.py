"""The ways to know a gain, each with the grade of its evidence: for answers, schemas and documents."""

from dataclasses import dataclass
from typing import Literal, get_args

Method = Literal["holdout", "difference_in_differences", "before_after", "declared"]
Grade = Literal["A", "B", "C", "D"]
Value = Literal["revenue", "margin"]

METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a gain is known, how far that can be believed, and what would be better."""

    grade: Grade
    meaning: str
    better: str | None


EVIDENCE: dict[Method, Evidence] = {
    "holdout": Evidence(
        "A",
        "Customers were assigned by lot; the holdout shows what would have happened without.",
        None,
    ),
    "difference_in_differences": Evidence(
        "B",
        "The treated are compared with others of like purchases before, by how much each changed. It holds if both would "
        "have changed alike.",
        "Give each campaign a holdout: then no customers have to be taken for comparable.",
    ),
    "before_after": Evidence(
        "C",
        "Days after the start are compared with days before. Seasons and everything else that changed are in it.",
        "Give each campaign a holdout, or leave comparable customers untreated.",
    ),
    "declared": Evidence(
        "D",
        "Somebody vouches for the gain; nothing was measured.",
        "Run the initiative as campaigns with a holdout, or name a baseline to compare with.",
    ),
}

# A lot that did not come out as planned is no lot: what it shows is worth a comparison in time.
BROKEN_LOT: Grade = "C"
