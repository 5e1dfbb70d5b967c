"""Scores customers by a learned classifier and says why: NumPy and SciPy only, for one customer now or a million."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit

from app.errors import ModelFormatUnknown
from app.ml.classification.ensemble import Ensemble
from app.ml.classification.linear import Linear
from app.ml.classification.links import Link
from app.ml.classification.purchases import Purchases
from app.ml.columns import Floats, Integers, Values, customers_in
from app.ml.transform import BLOCK


class Model(Protocol):
    """An algorithm made ready; a score is higher for whom the outcome is more likely."""

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read."""
        ...

    @property
    def owners(self) -> Integers:
        """Position in `names` of the feature behind each column."""
        ...

    def read(self, values: Values, start: int, stop: int) -> Floats:
        """The columns of a range of customers, shape (columns, stop - start)."""
        ...

    def score(self, columns: Floats) -> Floats:
        """Of customers given as columns, shape (n,)."""
        ...

    def parts(self, columns: Floats) -> tuple[Floats, float]:
        """Of each feature in the score, shape (n, features), and what the score is without them."""
        ...


MODELS: Mapping[str, Callable[[Mapping[str, Any]], Model]] = {
    "btyd": Purchases.of,
    "logistic": Linear.of,
    "random_forest": Ensemble.of,
    "gradient_boosting": Ensemble.of,
}


@dataclass(frozen=True, slots=True)
class Scorer:
    """A classifier made ready once for many calls; may be shared by threads.

    Parameters
    ----------
    algorithm : str
        That it learned by.
    features : tuple of str
        The features that are read; for "btyd" those of `request.BTYD_COLUMNS`.
    model : Model
    link : Link
        The calibration.
    """

    algorithm: str
    features: tuple[str, ...]
    model: Model
    link: Link

    def probabilities(self, values: Values) -> Floats:
        """Say how likely the outcome is for each customer.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The `features`, others are ignored. Unknown values and levels never seen count as what the model learned
            to do with these.

        Returns
        -------
        ndarray of float64, shape (n,)
            Strictly between 0 and 1.

        Raises
        ------
        InvalidInput
            If a feature is missing or of another length.
        """
        n = customers_in(values, self.features)
        found = np.empty(n)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            found[start:stop] = self.believed(self.model.read(values, start, stop))
        return found

    def believed(self, columns: Floats) -> Floats:
        """Say how likely the outcome is for customers given as the columns that the model reads."""
        return np.asarray(expit(self.link.log_odds(self.model.score(columns))), dtype=np.float64)

    def contributions(self, values: Values) -> tuple[tuple[str, ...], Floats, float]:
        """Take each customer's log odds apart by feature.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The `features`.

        Returns
        -------
        names : tuple of str
            The features, in the order of the columns.
        contributions : ndarray of float64, shape (n, features)
            In log odds, above 0 where the feature makes the outcome likelier. With `base` they add up to the log odds
            of the probability that is answered.
        base : float
            The log odds where no feature is known: those of the mean score of the background.

        Notes
        -----
        Interventional Shapley values of the score, exact for every algorithm here, times the slope of the link. Where
        log odds are no straight line in the score (isotonic calibration, shares of trees that need none, the ends at
        +-12) what is then missing to the sum is shared out by the size of the contributions.
        """
        n = customers_in(values, self.features)
        found, base = np.empty((n, len(self.features))), 0.0
        for start in range(0, max(n, 1), BLOCK):
            stop = min(start + BLOCK, n)
            found[start:stop], base = self._taken_apart(values, start, stop)
        return self.features, found, base

    def _taken_apart(self, values: Values, start: int, stop: int) -> tuple[Floats, float]:
        columns = self.model.read(values, start, stop)
        parts, middle = self.model.parts(columns)
        base = float(self.link.log_odds(np.array([middle]))[0])
        # Shapley values add up to it: no need to ask the model again.
        score = middle + parts.sum(axis=1)
        parts = parts * self.link.slope
        missing = self.link.log_odds(score) - base - parts.sum(axis=1)
        sizes = np.abs(parts)
        total = sizes.sum(axis=1)
        parts += sizes * (missing / np.where(total > 0, total, 1.0))[:, np.newaxis]
        return parts, base


def prepare_classifier(document: "Mapping[str, Any] | Scorer") -> Scorer:
    """Make a classifier ready.

    Parameters
    ----------
    document : mapping or Scorer
        The plain form that `learn_classifier` gives; what is ready already comes back as it is.

    Returns
    -------
    Scorer

    Raises
    ------
    ModelFormatUnknown
        If it was learned by an algorithm or calibrated in a way that is not known here.
    """
    if isinstance(document, Scorer):
        return document
    algorithm = document["algorithm"]
    if algorithm not in MODELS:
        raise ModelFormatUnknown(f"this version cannot score by a model of the algorithm {algorithm!r}")
    model = MODELS[algorithm](document["parts"])
    return Scorer(algorithm, model.names, model, Link.of(document["link"]))
