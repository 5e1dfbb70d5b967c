"""k-means on a million customers: against scikit-learn's own fit, in time and in how tight the segments are."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it brings no types

from app.ml.columns import Floats
from app.ml.solving import kmeans
from bench.ground import Goal, Series, report

CUSTOMERS = int(os.environ.get("BENCH_KMEANS_CUSTOMERS", "1_000_000"))
# The starts are those of app.ml.request unless asked otherwise.
FEATURES, SEGMENTS, STARTS = 8, 8, 10

OURS = "ten starts on a sample, continued on all, one thread"
THEIRS = "scikit-learn KMeans.fit as it comes, all cores"
THEIRS_ON_ONE = "scikit-learn KMeans.fit, one thread"
# scikit-learn is not typed.
their_fit: Callable[..., Any] = KMeans


def points(seed: int) -> Floats:
    """Overlapping groups of unequal size and width, as standardised features have them."""
    rng = np.random.default_rng(seed)
    groups = 12
    centres = rng.normal(scale=2.0, size=(groups, FEATURES))
    of = rng.choice(groups, size=CUSTOMERS, p=rng.dirichlet(np.full(groups, 3.0)))
    found: Floats = centres[of] + rng.normal(size=(CUSTOMERS, FEATURES)) * rng.uniform(0.5, 1.5, size=groups)[of, None]
    return found


def on_one_thread(work: Callable[[Floats], Any], given: Floats) -> None:
    with threadpool_limits(1):
        work(given)


def main(rounds: int = 5) -> None:
    series, tightness = Series(), []
    for seed in range(rounds):
        given = points(seed)
        solution = series.timed(OURS, CUSTOMERS, kmeans(given, {"starts": STARTS}), SEGMENTS, seed)
        fit = their_fit(SEGMENTS, random_state=seed).fit
        theirs = series.timed(THEIRS, CUSTOMERS, fit, given)
        tightness.append(solution.cost / theirs.inertia_)
        series.timed(THEIRS_ON_ONE, CUSTOMERS, on_one_thread, fit, given)
    goals = [Goal(OURS, THEIRS, round(1 / 1.2, 2))]
    report(f"k-means of {CUSTOMERS:,} x {FEATURES}, k = {SEGMENTS}", series, goals, unit="customers/s")
    verdict = "reached" if max(tightness) <= 1.0 else "MISSED in some"
    print(f"  inertia / theirs in each round: {', '.join(f'{each:.4f}' for each in tightness)} (at most 1) {verdict}")


if __name__ == "__main__":
    main()
