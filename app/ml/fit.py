"""The one way to fit a segmentation, whatever the method: from features to a plain model that assigns everybody."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.errors import FieldError, InvalidInput, TooFewCustomers
from app.ml.assign import assign
from app.ml.choosing import Trial, judged, shares, stable_enough, trials
from app.ml.columns import Floats, Integers, Values, customers_in, taken
from app.ml.components import in_space, principal_axes, unprojected
from app.ml.density import dbscan, least_cluster
from app.ml.growing import grow
from app.ml.order import ranking, reordered
from app.ml.preparation import learn
from app.ml.request import AUTO, FitRequest, Fitted, resolved
from app.ml.solving import SOLVERS, START_SAMPLE, Solution, Solve
from app.ml.threads import repeatable
from app.ml.transform import Transform

# Quantiles of this many customers are those of everybody to a third of a percentile.
LEARN_SAMPLE = 100_000
QUICK_STARTS = 2
# Kaufman and Rousseeuw (1990), table 4: below this no substantial structure has been found.
LEAST_SILHOUETTE = 0.25
ASSIGNMENT = {
    "kmeans": "nearest_centre",
    "hierarchical": "nearest_centre",
    "gaussian_mixture": "most_probable",
    "dbscan": "nearest_learned_customer_within_reach",
}


def fit(values: Values, request: FitRequest) -> Fitted:
    """Fit a segmentation.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        float64 with NaN where undefined, object arrays of str | None for categories. Infinities count as unknown.
        Customers about whom nothing is known teach nothing and are assigned -1.
    request : FitRequest
        How.

    Returns
    -------
    Fitted
        The same to the byte for the same values, request and versions of the libraries.

    Raises
    ------
    InvalidInput
        If the request is not usable, or no dense region is found.
    TooFewCustomers
        If there are fewer distinct customers than segments, or no feature tells customers apart.

    Examples
    --------
    >>> spend = np.repeat([10.0, 20.0, 900.0, 1000.0], 5) + np.tile([0.0, 1, 2, 3, 4], 4)
    >>> fitted = fit({"total_spend": spend}, FitRequest("kmeans", {"total_spend": "money"}, k=2))
    >>> fitted.k, fitted.labels.tolist()
    (2, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    """
    params = resolved(request)
    customers_in(values, list(request.kinds))
    with repeatable():
        if request.method == "decision_tree":
            return _fit_tree(values, request, params)
        return _Fit.of(values, request, params).fitted()


def _fit_tree(values: Values, request: FitRequest, params: dict[str, Any]) -> Fitted:
    labels = np.asarray(request.labels, dtype=np.int64)
    if labels.shape != (customers_in(values, list(request.kinds)),):
        raise InvalidInput("there is one label per customer", errors=[FieldError("/labels", "invalid_length", "")])
    model, warnings = grow(values, request.kinds, labels, params=params, seed=request.seed)
    found = assign(values, model).labels
    return Fitted(model, found, model["k"], [], warnings, params)


@dataclass(frozen=True, slots=True)
class _Fit:
    """What every clustering method needs while it is fitted."""

    values: Values
    request: FitRequest
    params: dict[str, Any]
    preparation: dict[str, Any]
    warnings: list[dict[str, str]]
    known: Integers
    points: Floats
    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, values: Values, request: FitRequest, params: dict[str, Any]) -> "_Fit":
        known = _known(values, request)
        if known.size < 2:
            raise TooFewCustomers(
                f"segments are found among at least two customers, and something is known of {known.size}"
            )
        some = _some(known, LEARN_SAMPLE, request.seed)
        learned = learn(taken(values, list(request.kinds), some), request.kinds, params)
        transform = Transform.of(learned.stored)
        mean, axes = principal_axes(transform.points(taken(values, transform.names, some)), params["pca"])
        rows = values if known.size == len(next(iter(values.values()))) else taken(values, transform.names, known)
        points = in_space(rows, transform, mean, axes)
        return cls(values, request, params, learned.stored, learned.warnings, known, points, mean, axes)

    def fitted(self) -> Fitted:
        sample = self._sample()
        solve = self._solver(sample)
        if self.request.method == "dbscan":
            solve, ks = self._found_by_density(solve)
        else:
            ks = self._numbers(sample)
        found = trials(
            sample, ks, solve, self._quick_solver, bootstraps=self.params["bootstraps"], seed=self.request.seed
        )
        for row in found:
            row.row["cost_is"] = SOLVERS[self.request.method][1] if self.request.method in SOLVERS else None
        return self._chosen(judged(found, least_share=self.request.min_segment_share), whole=sample is self.points)

    def _sample(self) -> Floats:
        n = self.points.shape[0]
        if n <= self._sample_size():
            return self.points
        sample: Floats = self.points[_some(np.arange(n), self._sample_size(), self.request.seed)]
        return sample

    def _sample_size(self) -> int:
        return int(self.params.get("sample", START_SAMPLE))

    def _solver(self, points: Floats) -> Solve:
        if self.request.method != "dbscan":
            return SOLVERS[self.request.method][0](points, self.params)
        asked = least_cluster(self.params, self.request.min_segment_share, self._sampled())
        scaled = max(2, round(asked * points.shape[0] / self._sampled()))
        return dbscan(points, {**self.params, "min_cluster_size": scaled})

    def _quick_solver(self, points: Floats) -> Solve:
        # What recurs only after many starts does not recur.
        few = min(int(self.params.get("starts", 1)), QUICK_STARTS)
        return replace(self, params={**self.params, "starts": few})._solver(points)

    def _sampled(self) -> int:
        return min(self._sample_size(), int(self.points.shape[0]))

    def _found_by_density(self, solve: Solve) -> tuple[Solve, list[int]]:
        solution = solve(0, self.request.seed)
        k = int(solution.labels.max()) + 1
        if k == 0:
            name = "eps" if self.params["eps"] else "min_cluster_size"
            detail = f"no region is dense enough to be a segment; change {name} or the features"
            raise InvalidInput(detail, errors=[FieldError(f"/params/{name}", "no_segments", detail)])
        return lambda _k, _seed: solution, [k]

    def _numbers(self, sample: Floats) -> list[int]:
        low, high = self.request.k_range
        if self.request.k not in (None, AUTO):
            low = high = int(self.request.k or 1)
        distinct = _distinct(sample, high)
        if self.request.k not in (None, AUTO) and distinct < high:
            among = f"among the {sample.shape[0]} looked at there are {distinct}"
            detail = f"{high} segments need as many distinct customers, and {among}"
            raise TooFewCustomers(detail, errors=[FieldError("/k", "too_few_customers", detail)])
        high = min(high, distinct)
        return list(range(min(low, high), high + 1))

    def _chosen(self, ranked: list[Trial], *, whole: bool) -> Fitted:
        outcomes = self._outcomes(ranked, whole=whole)
        first = outcome = next(outcomes)
        # Among everybody a segment may turn out smaller than in the sample: then the next best may do.
        while not outcome.large and outcome.trial.row["eligible"]:
            outcome.trial.row["eligible"] = False
            following = next(outcomes, None)
            if following is None:
                break
            outcome = following
        if not outcome.large:
            outcome = first
        for trial in ranked:
            trial.row["chosen"] = trial is outcome.trial
        table = [trial.row for trial in sorted(ranked, key=lambda trial: trial.k)]
        warnings = [*self.warnings, *outcome.solution.warnings, *self._doubts(outcome)]
        return Fitted(outcome.model, outcome.labels, outcome.model["k"], table, warnings, self._told())

    def _outcomes(self, ranked: list[Trial], *, whole: bool) -> "Iterator[_Outcome]":
        for trial in ranked:
            solution = trial.solution
            if self.request.method == "kmeans" and not whole:
                # From where the sample ended, so that what was judged is what is kept.
                params = {**self.params, "begin": solution.parts["centres"]}
                solution = SOLVERS["kmeans"][0](self.points, params)(trial.k, self.request.seed)
            model, labels = self._model(solution, trial.k)
            # Those of whom nothing is known are in no segment, and no reason to find one small.
            smallest = float(shares(labels[self.known], model["k"]).min(initial=1.0))
            trial.row["smallest_share"] = smallest
            large = smallest >= self.request.min_segment_share and model["k"] == trial.k
            yield _Outcome(trial, solution, model, labels, large)

    def _model(self, solution: Solution, k: int) -> tuple[dict[str, Any], Integers]:
        projected = self.params["pca"] is not None
        model: dict[str, Any] = {
            "algorithm": self.request.method,
            "k": k,
            "features": [{"name": name, "kind": kind} for name, kind in self.request.kinds.items()],
            "preparation": self.preparation,
            "components": {"mean": self.mean, "axes": self.axes} if projected else None,
            "parts": unprojected(solution.parts, self.mean, self.axes) if self._needs_axes() else solution.parts,
        }
        if self.request.method == "dbscan":
            model["parts"]["centres"] = np.empty((0, 0))
        labels = assign(self.values, model).labels
        order = ranking(self.values, dict(self.request.kinds), labels, k)
        model["parts"], model["k"] = reordered(model["parts"], order), int(order.size)
        # Those of nobody are gone; -1, the last entry, stays.
        new = np.full(k + 1, -1, dtype=np.int64)
        new[order] = np.arange(order.size)
        labels = new[labels]
        if self.request.method == "dbscan":
            model["parts"]["centres"] = self._centres(labels, int(order.size))
        return model, labels

    def _needs_axes(self) -> bool:
        return self.params["pca"] is not None or self.request.method == "dbscan"

    def _centres(self, labels: Integers, k: int) -> Floats:
        transform = Transform.of(self.preparation)
        centres = np.empty((k, transform.centre.shape[0]))
        for label in range(k):
            centres[label] = transform.points(
                taken(self.values, transform.names, np.flatnonzero(labels == label))
            ).mean(axis=0)
        return centres

    def _told(self) -> dict[str, Any]:
        told = {**self.params, "min_segment_share": self.request.min_segment_share, "seed": self.request.seed}
        if self.request.method == "dbscan" and not self.params["eps"]:
            told["min_cluster_size"] = least_cluster(self.params, self.request.min_segment_share, self._sampled())
        return told | {"judged_on": self._sampled(), "assignment": ASSIGNMENT[self.request.method]}

    def _doubts(self, outcome: "_Outcome") -> Iterator[dict[str, str]]:
        row = outcome.trial.row
        least = self.request.min_segment_share
        if self.request.method == "hierarchical":
            yield {"code": "assigned_by_nearest_centre", "detail": self._moved(outcome)}
        if outcome.model["k"] < outcome.trial.k:
            detail = f"{outcome.trial.k - outcome.model['k']} segments had no members and were left out"
            yield {"code": "empty_segments", "detail": detail}
        small, unstable = row["smallest_share"] < least, not stable_enough(row)
        if small:
            detail = f"the smallest segment holds {row['smallest_share']:.2%} of the customers, less than {least:.2%}"
            yield {"code": "small_segment", "detail": detail}
        if unstable:
            detail = f"refits to resampled customers agree with a Rand index of {row['stability']:.2f} only"
            yield {"code": "unstable_segments", "detail": detail}
        if row["silhouette"] is not None and row["silhouette"] < LEAST_SILHOUETTE:
            detail = f"a silhouette of {row['silhouette']:.2f} says that the segments pass into each other"
            yield {"code": "overlapping_segments", "detail": detail}
        if (small or unstable) and outcome.model["k"] > 2:
            yield {"code": "over_segmented", "detail": f"{outcome.model['k']} segments are more than the data carry"}
        if not row["eligible"] and self.request.k in (None, AUTO) and self.request.method != "dbscan":
            yield {"code": "no_eligible_k", "detail": f"no number of segments keeps each at {least:.2%} and stable"}

    def _moved(self, outcome: "_Outcome") -> str:
        centres = outcome.solution.parts["centres"]
        sample = self._sample()
        distances = (centres**2).sum(axis=1) - 2.0 * sample @ centres.T
        moved = float((distances.argmin(axis=1) != outcome.solution.labels).mean())
        return f"everybody joins the nearest centre of Ward's segments, which moves {moved:.1%} of those it grouped"


@dataclass(frozen=True, slots=True)
class _Outcome:
    trial: Trial
    solution: Solution
    model: dict[str, Any]
    labels: Integers
    large: bool


def _known(values: Values, request: FitRequest) -> Integers:
    n = customers_in(values, list(request.kinds))
    known = np.zeros(n, dtype=np.bool_)
    for name, kind in request.kinds.items():
        column = values[name]
        if kind == "category":
            known |= np.fromiter((value is not None for value in column.tolist()), dtype=np.bool_, count=n)
        else:
            known |= np.isfinite(column)
    return np.flatnonzero(known)


def _some(positions: Integers, most: int, seed: int) -> Integers:
    if positions.size <= most:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, size=most, replace=False))


def _distinct(points: Floats, enough: int) -> int:
    """Count distinct points, but no further than `enough`: the first thousands nearly always have as many."""
    size = 1_000
    while True:
        found = np.unique(points[:size], axis=0).shape[0]
        if found >= enough or size >= points.shape[0]:
            return int(found)
        size *= 10
