"""The whole judgement of a version in one call, made of what can be sent to another process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.modelling.features.columns import Floats, Values
from app.modelling.features.definitions import feature_of
from app.modelling.segments.judgement.advice import LEAST_SHARE, warnings_of
from app.modelling.segments.judgement.columns import JUDGED
from app.modelling.segments.judgement.effects import Integers
from app.modelling.segments.judgement.masda import scorecard
from app.modelling.segments.judgement.portraits import Portrait, portray
from app.modelling.segments.judgement.surrogate import rules_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What is judged. read: names and types of the features the version reads; k: its segments, empty ones too.

    names_taken: names that stay, by label. spend_after: what each customer spent in the days_after days since the
    fit; None: unknown.
    """

    read: tuple[tuple[str, str], ...]
    k: int
    currency: str
    names_taken: Mapping[int, str]
    spend_after: Floats | None = None
    days_after: float = 0.0
    least_share: float = LEAST_SHARE
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """Portraits and MASDA cards by label, warnings, readable rules."""

    portraits: list[Portrait]
    scorecards: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    rules: dict[str, Any]


def judge(values: Values, labels: Integers, asked: Asked) -> Judgement:
    """Judge a segmentation by what it reads and by JUDGED, as far as values hold them."""
    read = tuple(feature_of(name, dtype) for name, dtype in asked.read)
    features = [feature for feature in dict.fromkeys((*read, *JUDGED)) if feature.name in values]
    portraits = portray(
        values, labels, names_taken=asked.names_taken, features=features, currency=asked.currency, k=asked.k
    )
    cards = scorecard(values, labels, read=read, spend_after=asked.spend_after, days_after=asked.days_after, k=asked.k)
    warnings = warnings_of(values, labels, features=features, least_share=asked.least_share, k=asked.k)
    return Judgement(portraits, cards, warnings, rules_of(values, labels, features=features, seed=asked.seed))
