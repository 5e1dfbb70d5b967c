"""Judges any grouping in the space of its model, or of the features it is to be judged by: all figures at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.ml.choosing import shares
from app.ml.columns import Integers, Kind, Values, customers_in, taken
from app.ml.components import in_space
from app.ml.evaluation import Figure, calinski_harabasz, davies_bouldin, silhouette
from app.ml.preparation import learn
from app.ml.transform import Transform

MOST_LEARNED_FROM = 100_000
# The defaults of every clustering method.
COMPARABLE: Mapping[str, Any] = {"winsorise": True, "log": "auto", "scale": "robust", "missing_indicator": False}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be said of a grouping by itself; how stable it is only refits can say (`evaluation.stability`).

    Parameters
    ----------
    silhouette, davies_bouldin, calinski_harabasz : Figure
        None with a reason where undefined.
    sizes : tuple of int
        Customers in each segment, in order of the labels.
    unassigned : int
        Customers in none.
    """

    silhouette: Figure
    davies_bouldin: Figure
    calinski_harabasz: Figure
    sizes: tuple[int, ...]
    unassigned: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, ready for JSON."""
        return asdict(self)

    @property
    def smallest_share(self) -> float | None:
        """The share of the smallest segment among all customers; None without a segment."""
        everybody = sum(self.sizes) + self.unassigned
        return min(self.sizes) / everybody if self.sizes and everybody else None


def judge(values: Values, model: Mapping[str, Any], labels: Integers, *, seed: int = 0) -> Judgement:
    """Judge a grouping in the space of a model.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features.
    model : mapping
        What was fitted. A tree has no space of its own: its features are made comparable like a clustering's then.
    labels : ndarray of int64, shape (n,)
        0..k-1, or -1.
    seed : int, default 0
        Of the sample of which silhouettes are taken.

    Returns
    -------
    Judgement

    Examples
    --------
    >>> from app.ml.fit import fit
    >>> from app.ml.request import FitRequest
    >>> spend = {"total_spend": np.repeat([10.0, 20.0, 900.0, 1000.0], 5) + np.tile([0.0, 1, 2, 3, 4], 4)}
    >>> fitted = fit(spend, FitRequest("kmeans", {"total_spend": "money"}, k=2))
    >>> judge(spend, fitted.model, fitted.labels).sizes
    (10, 10)
    """
    if model["algorithm"] == "decision_tree":
        return judge_by(values, {each["name"]: each["kind"] for each in model["features"]}, labels, seed=seed)
    return _judged(values, model["preparation"], model["components"], labels, seed)


def judge_by(values: Values, kinds: Mapping[str, Kind], labels: Integers, *, seed: int = 0) -> Judgement:
    """Judge a grouping that has no space of its own, like that of rules, by some features.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features, made comparable here.
    kinds : mapping of str to Kind
        Which to judge by, in order.
    labels, seed
        As for `judge`.

    Returns
    -------
    Judgement

    Raises
    ------
    TooFewCustomers
        If no feature tells these customers apart.
    """
    n = customers_in(values, list(kinds))
    some = np.arange(n)
    if n > MOST_LEARNED_FROM:
        some = np.sort(np.random.default_rng(seed).choice(n, size=MOST_LEARNED_FROM, replace=False))
    learned = learn(taken(values, list(kinds), some), kinds, COMPARABLE)
    return _judged(values, learned.stored, None, labels, seed)


def _judged(
    values: Values, preparation: Mapping[str, Any], components: Mapping[str, Any] | None, labels: Integers, seed: int
) -> Judgement:
    transform = Transform.of(preparation)
    columns = transform.centre.shape[0]
    mean, axes = (components["mean"], components["axes"]) if components else (np.zeros(columns), np.eye(columns))
    points = in_space(values, transform, mean, axes)
    k = int(labels.max(initial=-1)) + 1
    return Judgement(
        silhouette(points, labels, seed=seed),
        davies_bouldin(points, labels),
        calinski_harabasz(points, labels),
        tuple(round(share * labels.size) for share in shares(labels, k).tolist()),
        int((labels < 0).sum()),
    )
