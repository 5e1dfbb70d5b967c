"""Looks at several numbers of segments and weighs them, so that the number is a finding and not a habit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.ml import evaluation
from app.ml.columns import Floats, Integers
from app.ml.solving import Solution, Solve

# Refits are many: fewer customers answer whether segments recur just as well.
STABILITY_SAMPLE = 2_000
# Below this, groupings of resamples agree too little for segments to be worth a name.
LEAST_STABILITY = 0.6
# Separation counts most; recurring, tightness and balance break what it leaves near to a tie.
WEIGHTS = {"silhouette": 0.5, "tightness": 0.2, "stability": 0.2, "balance": 0.1}


@dataclass(frozen=True, slots=True)
class Trial:
    """One number of segments: what was found, and its line in the table."""

    k: int
    solution: Solution
    row: dict[str, Any]


def trials(
    points: Floats, ks: Iterable[int], solve: Solve, restart: Callable[[Floats], Solve], *, bootstraps: int, seed: int
) -> list[Trial]:
    """Fit and judge each number of segments.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns)
        Places in the space of the model, all of them compared.
    ks : iterable of int
        Numbers of segments, at least 1.
    solve : callable
        From k and seed to a solution for `points`.
    restart : callable
        From points of a resample to what solves them.
    bootstraps : int
        Resamples per k, at least 0.
    seed : int
        Of starts and resamples.

    Returns
    -------
    list of Trial
        In the order of `ks`. ``score`` = .5 silhouette + .2 / (1 + Davies-Bouldin) + .2 stability + .1 entropy of the
        sizes over its maximum; None without a silhouette; what else is undefined counts 0.

    References
    ----------
    Rousseeuw (1987), Davies and Bouldin (1979), Hennig (2007): see `evaluation`. Shannon, C. E. (1948). A mathematical
    theory of communication. Bell System Technical Journal 27, 379-423 (entropy).
    """
    found = [(k, solve(k, seed)) for k in ks]
    silhouettes = evaluation.silhouettes(points, [solution.labels for _, solution in found], seed=seed)
    few = points
    if points.shape[0] > STABILITY_SAMPLE:
        few = points[np.random.default_rng(seed).choice(points.shape[0], size=STABILITY_SAMPLE, replace=False)]
    rows = []
    for (k, solution), silhouette in zip(found, silhouettes, strict=True):
        labels = solution.labels if few is points or not bootstraps else restart(few)(k, seed).labels
        figure = evaluation.stability(few, labels, _refit(restart, k), bootstraps=bootstraps, seed=seed)
        rows.append(_row(k, solution, points, silhouette) | {"stability": figure.value})
    return [Trial(k, solution, row) for (k, solution), row in zip(found, rows, strict=True)]


def _refit(restart: Callable[[Floats], Solve], k: int) -> Callable[[Floats, int], Integers]:
    return lambda points, seed: restart(points)(k, seed).labels


def _row(k: int, solution: Solution, points: Floats, silhouette: evaluation.Figure) -> dict[str, Any]:
    return {
        "k": k,
        "silhouette": silhouette.value,
        "davies_bouldin": evaluation.davies_bouldin(points, solution.labels).value,
        "calinski_harabasz": evaluation.calinski_harabasz(points, solution.labels).value,
        "stability": None,
        "smallest_share": float(shares(solution.labels, k).min(initial=1.0)),
        "balance": _balance(shares(solution.labels, k)),
        "cost": solution.cost,
    }


def shares(labels: Integers, k: int) -> Floats:
    """Give the share of each segment among all customers, those in none included.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,), n >= 1
        0..k-1, or -1.
    k : int
        Number of segments.

    Returns
    -------
    ndarray of float64, shape (k,)
        0..1.

    Examples
    --------
    >>> shares(np.array([0, 0, 1, -1]), 2).tolist()
    [0.5, 0.25]
    """
    return np.bincount(labels[labels >= 0], minlength=k)[:k] / max(labels.size, 1)


def _balance(sizes: Floats) -> float:
    filled = sizes[sizes > 0]
    if sizes.size < 2 or not filled.size:
        return 0.0
    parts = filled / filled.sum()
    return float(-(parts * np.log(parts)).sum() / np.log(sizes.size))


def judged(found: Sequence[Trial], *, least_share: float) -> list[Trial]:
    """Score the trials and put the one to choose first.

    Eligible is what has no segment under `least_share` and a stability of at least .6; where nothing has, what has no
    segment under it; where nothing has that either, what comes nearest.

    Parameters
    ----------
    found : sequence of Trial
        From `trials`.
    least_share : float
        Share that no segment may be under, 0..0.5.

    Returns
    -------
    list of Trial
        The best first; the rows have ``score`` and ``eligible`` now.
    """
    for trial in found:
        trial.row["score"] = _score(trial.row)
        trial.row["eligible"] = _large(trial, least_share) and stable_enough(trial.row)

    def rank(trial: Trial) -> tuple[Any, ...]:
        row = trial.row
        large = _large(trial, least_share)
        score = -2.0 if row["score"] is None else row["score"]
        return not row["eligible"], not large, 0.0 if large else -row["smallest_share"], -score, row["k"]

    return sorted(found, key=rank)


def stable_enough(row: dict[str, Any]) -> bool:
    """Whether segments recur well enough; true where that was not looked at."""
    return row["stability"] is None or row["stability"] >= LEAST_STABILITY


def _large(trial: Trial, least_share: float) -> bool:
    return bool(trial.row["smallest_share"] >= least_share and trial.row["score"] is not None)


def _score(row: dict[str, Any]) -> float | None:
    if row["silhouette"] is None:
        return None
    bouldin = row["davies_bouldin"]
    parts = {
        "silhouette": row["silhouette"],
        "tightness": 0.0 if bouldin is None else 1.0 / (1.0 + bouldin),
        "stability": row["stability"] or 0.0,
        "balance": row["balance"],
    }
    return float(sum(WEIGHTS[name] * value for name, value in parts.items()))
