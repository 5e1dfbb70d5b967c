"""Markov and Shapley credit on 10,000 paths against plain loops, and a month's answer over HTTP against a bare scan."""

import statistics
import time
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import psycopg

from app.stats.attribution.journeys import Floats, Journeys
from app.stats.attribution.markov import markov
from app.stats.attribution.rules import by_rule, time_decay
from app.stats.attribution.shapley import shapley
from bench.ground import Client, Goal, Series, connect, database, report, server, service

PATHS, CHANNELS = 10_000, 12
MEAN_LENGTH = 6

OURS, LOOPS = "Markov: one factorisation for all removals", "Markov: a chain and a solve for each channel"
GAME, ENUMERATED = "Shapley, game of rates: all coalitions at once", "Shapley, game of rates: coalition by coalition"

FACTS, CUSTOMERS = 1_000_000, 100_000
ANSWERED, SCANNED = "GET /v1/attribution, a month, markov", "bare SQL scan of the same window"
# A year of a shop whose facts come in as they happen, some customers seen often, most hardly ever.
WHO = "'customer-' || 1 + floor(random() * random() * {customers})::int"
WHEN = "timestamptz '2025-11-01' + n * (interval '365 days' / {facts}) + random() * interval '10 minutes'"
FILL = (
    "insert into customers (customer_id) select 'customer-' || n from generate_series(1, {customers}) n",
    "insert into events (source, event_id, customer_id, type, occurred_at, received_at, channel)"
    f" select 'web', md5('e' || n), {WHO}, type, t, t + interval '1 minute',"
    " case when type <> 'survey' and random() < .9 then 'channel ' || floor(random() * random() * 12) end"
    " from (select n, (array['visit', 'visit', 'visit', 'page_view', 'page_view', 'click', 'email_sent', 'impression',"
    f" 'conversion', 'survey'])[1 + floor(random() * 10)::int] as type, {WHEN} as t"
    " from generate_series(1, {facts}) n) each",
    "insert into transactions (source, transaction_id, customer_id, occurred_at, kind, amount_minor, currency)"
    f" select 'shop', md5('t' || n), {WHO}, {WHEN}, 'purchase', 100 + floor(random() * 20000)::int, 'EUR'"
    " from generate_series(1, {facts}) n",
    "vacuum analyze",
)
# The look-back of thirty days is part of it.
SCAN = (
    "select channel, count(*) from events where customer_id is not null and channel is not null"
    " and type in ('visit', 'click', 'impression') and occurred_at >= '2026-08-02' and occurred_at < '2026-10-01'"
    " group by channel",
    "select count(*), sum(amount_minor) from transactions where kind = 'purchase' and customer_id is not null"
    " and occurred_at >= '2026-08-02' and occurred_at < '2026-10-01'",
)


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


def _scanned(connection: psycopg.Connection) -> list[Any]:
    return [connection.execute(statement).fetchall() for statement in SCAN]


def answered(rounds: int = 5, *, facts: int = FACTS, customers: int = CUSTOMERS) -> None:
    """The whole answer as a caller gets it, against the least that any answer must read."""
    series = Series()
    with server() as running, database(running, "attribution") as url, connect(running, "attribution") as connection:
        for statement in FILL:
            connection.execute(statement.replace("{facts}", str(facts)).replace("{customers}", str(customers)))
        with service(url) as port:
            client = Client(port)
            for _ in range(rounds):
                place = "/v1/attribution?model=markov&from=2026-09-01&to=2026-10-01"
                answer = series.timed(ANSWERED, 1, client.request, "GET", place)
                by_channel, bought = series.timed(SCANNED, 1, _scanned, connection)
                assert len(answer["data"]) == len(by_channel), "everything touched is answered"
                assert 0 < answer["totals"]["conversions"] < bought[0][0], "a month is less than two"
    milliseconds_each = {name: [1_000 / rate for rate in rates] for name, rates in series.rates.items()}
    print(f"\n## Attribution of a month among {facts:,} events and {facts:,} transactions  (ms, medians)")
    for name, taken in milliseconds_each.items():
        print(f"  {name:58s} {statistics.median(taken):10.0f} ms  [{min(taken):.0f} to {max(taken):.0f}]")
    ratios = series.ratio(ANSWERED, SCANNED)
    print(f"  scan / answer: {statistics.median(ratios):.2f} [{min(ratios):.2f} to {max(ratios):.2f}]")


def main(rounds: int = 3) -> None:
    answered()
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
