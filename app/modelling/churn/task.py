"""What passes between the worker and the process that learns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.features.columns import Values


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn. features: name, dtype, kind and window_days of each that may be learned from.

    chosen_by_us: nobody named the features, so that what says nothing is left out rather than refused.
    champion: what the model learned that this one is to be compared with; null without one.
    """

    algorithm: str
    features: Sequence[Mapping[str, Any]]
    definition: Mapping[str, Any]
    horizon_days: int | None
    seed: int
    insist_on: Sequence[str]
    protected: str | None
    chosen_by_us: bool
    champion: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Customers as they were at a cutoff, and what then happened to each: true is having left."""

    values: Values
    outcomes: npt.NDArray[np.bool_]
    cutoff: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned: document is what is kept, customers how many there were at the last cutoff."""

    document: Mapping[str, Any]
    algorithm: str
    evaluation: Mapping[str, Any]
    fingerprint: str
    customers: int
    is_better: bool | None
