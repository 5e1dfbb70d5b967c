"""The one way to learn by an algorithm: from features and outcomes to the plain parts of a model, not yet calibrated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.classification.growing import learn_gradient_boosting, learn_random_forest
from app.ml.classification.links import Scale
from app.ml.classification.regression import learn_logistic
from app.ml.classification.request import ClassifierRequest
from app.ml.classification.silence import learn_purchases
from app.ml.columns import Integers, Kind, Values, taken

Flags = npt.NDArray[np.bool_]
# More customers than these move no coefficient and no threshold by anything that matters, but cost by the minute.
MOST_LEARNED_FROM = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Customers as they were at a cutoff and what then happened to each.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
    outcomes : ndarray of bool, shape (n,)
    """

    values: Values
    outcomes: Flags

    def at(self, positions: Integers) -> "Sample":
        """Some of the customers, in the order of the positions."""
        return Sample(taken(self.values, list(self.values), positions), self.outcomes[positions])


@dataclass(frozen=True, slots=True)
class Task:
    """What is the same for all candidates: the features that may be used, the horizon, the seed."""

    kinds: Mapping[str, Kind]
    horizon_days: int | None
    seed: int

    @classmethod
    def of(cls, request: ClassifierRequest, kinds: Mapping[str, Kind]) -> "Task":
        """From the request, with the features that are left of its."""
        return cls(kinds, request.horizon_days, request.seed)


LEARNERS: Mapping[str, Callable[[Values, Flags, Mapping[str, Kind], int], dict[str, Any]]] = {
    "logistic": learn_logistic,
    "random_forest": learn_random_forest,
    "gradient_boosting": learn_gradient_boosting,
}
# What the score of an algorithm is, before calibration.
SCALES: Mapping[str, Scale] = {
    "btyd": "log_odds",
    "logistic": "log_odds",
    "random_forest": "share",
    "gradient_boosting": "log_odds",
}


def learn_parts(algorithm: str, samples: Sequence[Sample], task: Task) -> dict[str, Any]:
    """Learn from the customers of some cutoffs, or of 100,000 drawn from them.

    Parameters
    ----------
    algorithm : str
        One of `request.CANDIDATES`.
    samples : sequence of Sample
        In order of time, at least one.
    task : Task

    Returns
    -------
    dict
        Plain, for `scoring.MODELS`.

    Raises
    ------
    TooFewCustomers
        If no feature tells these customers apart.
    """
    if algorithm == "btyd":
        # Histories at the last cutoff contain those at the earlier ones.
        return learn_purchases(samples[-1].values, task.horizon_days, seed=task.seed)
    sample = drawn(samples, most=MOST_LEARNED_FROM, seed=task.seed)
    return LEARNERS[algorithm](sample.values, sample.outcomes, task.kinds, task.seed)


def pooled(samples: Sequence[Sample]) -> Sample:
    """Put samples one after another.

    Parameters
    ----------
    samples : sequence of Sample
        With the same features, at least one.

    Returns
    -------
    Sample
    """
    if len(samples) == 1:
        return samples[0]
    values = {name: np.concatenate([each.values[name] for each in samples]) for name in samples[0].values}
    return Sample(values, np.concatenate([each.outcomes for each in samples]))


def drawn(samples: Sequence[Sample], *, most: int, seed: int) -> Sample:
    """Pool samples, and draw from them if they are too many; classes are drawn as they come.

    Parameters
    ----------
    samples : sequence of Sample
        With the same features, at least one.
    most : int
        How many customers to keep, at least 1.
    seed : int
        Of the draw.

    Returns
    -------
    Sample
    """
    whole = pooled(samples)
    if whole.outcomes.size <= most:
        return whole
    return whole.at(np.sort(np.random.default_rng(seed).choice(whole.outcomes.size, size=most, replace=False)))
