"""Markov and Shapley credit on 10,000 paths of 12 channels: against the time promised, and against plain loops."""

import statistics
import time
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np

from app.stats.attribution.journeys import Floats, Journeys
from app.stats.attribution.markov import markov
from app.stats.attribution.rules import by_rule, time_decay
from app.stats.attribution.shapley import shapley
from bench.ground import Goal, Series, report

PATHS, CHANNELS = 10_000, 12
MEAN_LENGTH = 6

OURS, LOOPS = "Markov: one factorisation for all removals", "Markov: a chain and a solve for each channel"
GAME, ENUMERATED = "Shapley, game of rates: all coalitions at once", "Shapley, game of rates: coalition by coalition"


def journeys_of(seed: int) -> Journeys:
    """Paths as long as those of real shops, some channels met often, some hardly ever."""
    random = np.random.default_rng(seed)
    often = random.dirichlet(np.full(CHANNELS, 0.6))
    names = np.array([f"channel {number}" for number in range(CHANNELS)])
    lengths = random.geometric(1 / MEAN_LENGTH, PATHS)
    paths = [names[random.choice(CHANNELS, length, p=often)].tolist() for length in lengths]
    conversions = random.integers(0, 4, PATHS)
    ages = [np.sort(random.integers(0, 30, length))[::-1].tolist() for length in lengths]
    nulls = random.integers(0, 15, PATHS)
    return Journeys.of(paths, conversions=conversions, values=conversions * 25.0, nulls=nulls, ages=ages)


def with_loops(journeys: Journeys) -> Floats:
    """What is written first: count transitions path by path, then solve without each channel in turn."""
    size = CHANNELS + 3
    start, converted, null = CHANNELS, CHANNELS + 1, CHANNELS + 2
    counts = np.zeros((size, size))
    for number, (begin, length) in enumerate(zip(journeys.starts, journeys.lengths, strict=True)):
        before, weight = start, journeys.conversions[number] + journeys.nulls[number]
        for touch in journeys.touches[begin : begin + length]:
            counts[before, touch] += weight
            before = touch
        counts[before, converted] += journeys.conversions[number]
        counts[before, null] += journeys.nulls[number]
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def probability(removed: int | None) -> float:
        inner = [place for place in range(CHANNELS + 1) if place != removed]
        chain = np.eye(len(inner)) - rows[np.ix_(inner, inner)]
        return float(np.linalg.solve(chain, rows[inner, converted])[-1])

    effects = np.array([1 - probability(channel) / probability(None) for channel in range(CHANNELS)])
    credit: Floats = effects / effects.sum() * journeys.total_conversions
    return credit


def enumerated(journeys: Journeys) -> Floats:
    """What is written first: the definition, coalition by coalition."""
    sets = [frozenset(each.tolist()) for each in np.split(journeys.touches, journeys.starts[1:])]
    sums: dict[frozenset[int], tuple[float, float]] = {}
    for number, own in enumerate(sets):
        won, every = sums.get(own, (0.0, 0.0))
        here = journeys.conversions[number]
        sums[own] = won + here, every + here + journeys.nulls[number]
    worth = {}
    for size in range(CHANNELS + 1):
        for each in combinations(range(CHANNELS), size):
            coalition = frozenset(each)
            inside = [counted for own, counted in sums.items() if own <= coalition]
            every = sum(counted[1] for counted in inside)
            worth[coalition] = sum(counted[0] for counted in inside) / every if every else 0.0
    found = np.zeros(CHANNELS)
    for coalition, value in worth.items():
        size = len(coalition)
        for player in coalition:
            weight = factorial(size - 1) * factorial(CHANNELS - size) / factorial(CHANNELS)
            found[player] += weight * (value - worth[coalition - {player}])
    credit: Floats = found / found.sum() * journeys.total_conversions
    return credit


def milliseconds(work: Callable[..., Any], *arguments: Any, rounds: int = 15) -> list[float]:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work(*arguments)
        taken.append(1_000 * (time.perf_counter() - began))
    return taken


def timed(journeys: Journeys) -> None:
    """Absolute times, where some were promised."""
    work: list[tuple[str, Callable[[], Any], float | None]] = [
        ("first, last, linear or position", lambda: by_rule(journeys, "linear"), None),
        ("time_decay", lambda: time_decay(journeys, half_life_days=7.0), None),
        ("Markov, order 1", lambda: markov(journeys), 50.0),
        ("Markov, order 2", lambda: markov(journeys, order=2), None),
        ("Shapley, game of conversions", lambda: shapley(journeys), 1_000.0),
        ("Shapley, game of rates, all coalitions", lambda: shapley(journeys, game="rate"), 1_000.0),
    ]
    print(f"\n## Attribution of {PATHS:,} paths, {CHANNELS} channels  (ms, medians; min to max in brackets)")
    for name, call, promised in work:
        taken = milliseconds(call)
        median = statistics.median(taken)
        verdict = "" if promised is None else f" (under {promised:g}) {'reached' if median < promised else 'MISSED'}"
        print(f"  {name:58s} {median:10.1f} ms  [{min(taken):.1f} to {max(taken):.1f}]{verdict}")


def main(rounds: int = 3) -> None:
    timed(journeys_of(0))
    series, furthest = Series(), 0.0
    for seed in range(rounds):
        journeys = journeys_of(seed)
        ours = series.timed(OURS, PATHS, markov, journeys)
        theirs = series.timed(LOOPS, PATHS, with_loops, journeys)
        furthest = max(furthest, float(np.abs(ours.conversions - theirs).max()))
        exact = series.timed(GAME, PATHS, lambda own: shapley(own, game="rate"), journeys)
        theirs = series.timed(ENUMERATED, PATHS, enumerated, journeys)
        furthest = max(furthest, float(np.abs(exact.conversions - theirs).max()))
    goals = [Goal(OURS, LOOPS, 5.0), Goal(GAME, ENUMERATED, 20.0)]
    report("Attribution against plain loops", series, goals, unit="paths/s")
    print(f"  furthest apart in credited conversions: {furthest:.1e} (at most 1e-6)")


if __name__ == "__main__":
    main()
