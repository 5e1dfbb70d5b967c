"""Puts customers into the segments of a fitted model: NumPy and SciPy only, for one customer now or millions at night."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from app.errors import ModelFormatUnknown
from app.ml.columns import Floats, Integers, Values, customers_in
from app.ml.scoring import Mixture, Nearest, Scorer, lowest
from app.ml.transform import BLOCK, Transform
from app.ml.tree import Tree

UNASSIGNED = -1
# SciPy is not typed.
index_of_places: Callable[..., Any] = KDTree


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where customers belong.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        0..k-1, or -1: in no segment, because nothing is known of the customer or it lies in no dense region.
    confidence : ndarray of float64, shape (n,), or None
        Probability of the segment, 0..1; NaN beside -1. None where the method has none, or `detail` was not asked for.
    runner_up : ndarray of int64, shape (n,), or None
        The second best segment; -1 where there is none.
    margin : ndarray of float64, shape (n,), or None
        How clear the case is against the runner-up, at least 0; NaN where there is none. Centres: the way to the
        boundary in standard deviations; mixture: log of the ratio of both probabilities.
    """

    labels: Integers
    confidence: Floats | None = None
    runner_up: Integers | None = None
    margin: Floats | None = None


@dataclass(frozen=True, slots=True)
class Density:
    """The learned customers by place: a new one joins the nearest, if that is within the reach of its segment."""

    places: Any
    labels: Integers
    reach: Floats
    mean: Floats
    axes: Floats
    centres: Floats

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> "Density":
        """From the plain form."""
        arrays = (parts[name] for name in ("labels", "reach", "mean", "axes", "centres"))
        return cls(index_of_places(parts["places"]), *arrays)

    def join(self, points: Floats) -> Integers:
        """The label of each point, shape (n, columns); -1 where nothing is near enough."""
        distances, nearest = self.places.query((points - self.mean) @ self.axes.T)
        labels = self.labels[nearest]
        near = (labels != UNASSIGNED) & (distances <= self.reach[labels])
        return np.where(near, labels, UNASSIGNED)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model made ready once for many calls; exactly one of `scorer`, `density` and `tree` is there."""

    algorithm: str
    k: int
    transform: Transform
    scorer: Scorer | None = None
    density: Density | None = None
    tree: Tree | None = None


def prepare(model: "Mapping[str, Any] | Prepared") -> Prepared:
    """Make a model ready: worth it for everybody who assigns more than once.

    Parameters
    ----------
    model : mapping or Prepared
        The plain form that `fit` gives; what is prepared already comes back as it is.

    Returns
    -------
    Prepared
        Frozen; may be shared by threads.

    Raises
    ------
    ModelFormatUnknown
        If the model is not of an algorithm that is known here.
    """
    if isinstance(model, Prepared):
        return model
    algorithm, parts = model["algorithm"], model["parts"]
    transform = Transform.of(model["preparation"])
    match algorithm:
        case "kmeans" | "hierarchical":
            return Prepared(algorithm, model["k"], transform, scorer=Nearest.of(parts, transform))
        case "gaussian_mixture":
            return Prepared(algorithm, model["k"], transform, scorer=Mixture.of(parts, transform))
        case "dbscan":
            return Prepared(algorithm, model["k"], transform, density=Density.of(parts))
        case "decision_tree":
            return Prepared(algorithm, model["k"], transform, tree=Tree.of(parts))
    raise ModelFormatUnknown(f"this version cannot assign by a model of the algorithm {algorithm!r}")


def assign(values: Values, model: Mapping[str, Any] | Prepared, *, detail: bool = False) -> Assigned:
    """Assign customers to segments.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features the model reads; NaN, infinities and None are unknown. Others are ignored.
    model : mapping or Prepared
        What was fitted; prepare it once for many calls.
    detail : bool, default False
        Also give confidence, runner-up and margin; labels alone are about twice as fast.

    Returns
    -------
    Assigned
        The same for a customer alone as among millions.

    Raises
    ------
    InvalidInput
        If a feature is missing or of another length.
    ModelFormatUnknown
        If the model is not of an algorithm that is known here.

    Examples
    --------
    >>> preparation = {"numbers": ["total_spend"], "logged": 0, "fill": np.zeros(1), "low": np.zeros(1),
    ...                "high": np.array([1e6]), "indicators": [], "categories": [], "centre": np.zeros(1),
    ...                "scale": np.array([100.0])}
    >>> model = {"algorithm": "kmeans", "k": 2, "preparation": preparation,
    ...          "parts": {"centres": np.array([[9.0], [1.0]])}}
    >>> spend = {"total_spend": np.array([120.0, 800.0, 490.0, np.nan])}
    >>> found = assign(spend, prepare(model), detail=True)
    >>> found.labels.tolist(), found.margin.round(2).tolist()
    ([1, 0, 1, -1], [3.8, 3.0, 0.1, nan])
    """
    prepared = prepare(model)
    transform = prepared.transform
    n = customers_in(values, transform.names)
    labels = np.empty(n, dtype=np.int64)
    further = _Further.room(n, prepared) if detail else None
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        rows, known = transform.columns(values, start, stop)
        _assign_block(prepared, rows, labels[start:stop], further.part(start, stop) if further else None)
        if not known.all():
            unknown = start + np.flatnonzero(~known)
            labels[unknown] = UNASSIGNED
            if further:
                further.forget(unknown)
    return Assigned(labels, further.confidence, further.runner_up, further.margin) if further else Assigned(labels)


@dataclass(frozen=True, slots=True)
class _Further:
    """What is asked for besides labels; views into the whole for one block."""

    confidence: Floats | None
    runner_up: Integers | None
    margin: Floats | None

    @classmethod
    def room(cls, n: int, prepared: Prepared) -> "_Further":
        probable = prepared.tree is not None or isinstance(prepared.scorer, Mixture)
        compared = prepared.scorer is not None
        return cls(
            np.full(n, np.nan) if probable else None,
            np.full(n, UNASSIGNED, dtype=np.int64) if compared else None,
            np.full(n, np.nan) if compared else None,
        )

    def part(self, start: int, stop: int) -> "_Further":
        return _Further(*(None if each is None else each[start:stop] for each in self._all()))

    def forget(self, rows: Integers) -> None:
        for each, nothing in zip(self._all(), (np.nan, UNASSIGNED, np.nan), strict=True):
            if each is not None:
                each[rows] = nothing

    def _all(self) -> tuple[npt.NDArray[Any] | None, ...]:
        return self.confidence, self.runner_up, self.margin


def _assign_block(prepared: Prepared, rows: Floats, labels: Integers, further: _Further | None) -> None:
    if prepared.scorer is not None:
        scores = prepared.scorer.scores(rows)
        labels[:] = lowest(scores)
        if further is not None:
            _compare(prepared.scorer, scores, labels, further)
    elif prepared.density is not None:
        labels[:] = prepared.density.join(((rows - prepared.transform.centre) / prepared.transform.scale).T)
    elif prepared.tree is not None:
        shares = prepared.tree.shares[prepared.tree.leaves(rows)]
        labels[:] = shares.argmax(axis=1)
        if further is not None and further.confidence is not None:
            further.confidence[:] = shares.max(axis=1)


def _compare(scorer: Scorer, scores: Floats, labels: Integers, further: _Further) -> None:
    assert further.runner_up is not None
    assert further.margin is not None
    if isinstance(scorer, Mixture) and further.confidence is not None:
        further.confidence[:] = scorer.confidence(scores, labels)
    if scores.shape[0] < 2:
        return
    everybody = np.arange(labels.size)
    others = np.ones(scores.shape, dtype=np.bool_)
    others[labels, everybody] = False
    further.runner_up[:] = lowest(scores, others)
    gap = scores[further.runner_up, everybody] - scores[labels, everybody]
    further.margin[:] = scorer.margin(labels, further.runner_up, gap)
