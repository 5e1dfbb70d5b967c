"""Credit on the 10,000 public paths, against figures that were computed by other means (reference.json)."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.stats.attribution.journeys import Credits, Journeys
from app.stats.attribution.markov import markov, removal_effects
from app.stats.attribution.rules import by_rule
from app.stats.attribution.shapley import shapley

Found = tuple[Journeys, dict[str, Any]]
# The reference is rounded to four digits.
HALF_A_DIGIT = 0.5001e-4


@pytest.fixture(scope="module")
def paths(real_data: Path) -> Found:
    folder = real_data / "attribution_paths"
    with gzip.open(folder / "paths.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    columns = {"conversions": "total_conversions", "values": "total_conversion_value", "nulls": "total_null"}
    counts = {name: [float(row[column]) for row in rows] for name, column in columns.items()}
    journeys = Journeys.of([row["path"].split(" > ") for row in rows], **counts)  # type: ignore[arg-type]
    return journeys, json.loads((folder / "reference.json").read_text())


def off(found: Credits, expected: dict[str, float]) -> float:
    assert set(found.channels) == set(expected)
    return max(abs(own - expected[name]) for name, own in zip(found.channels, found.conversions, strict=True))


@pytest.mark.parametrize("rule", ["first", "last", "linear"])
def test_rules_equal_the_published_package(paths: Found, rule: Any) -> None:
    """ChannelAttribution's heuristic models are exact; conversions and value."""
    journeys, reference = paths
    expected, found = reference["ChannelAttribution_heuristic"], by_rule(journeys, rule)
    assert off(found, {name: row[f"{rule}_touch_conversions"] for name, row in expected.items()}) < HALF_A_DIGIT
    for name, value in zip(found.channels, found.values, strict=True):
        assert value == pytest.approx(expected[name][f"{rule}_touch_value"], abs=HALF_A_DIGIT)


def test_position_equals_the_independent_computation(paths: Found) -> None:
    journeys, reference = paths
    assert off(by_rule(journeys, "position"), reference["own"]["position_40_20_40"]) < HALF_A_DIGIT


def test_markov_equals_the_exact_column(paths: Found) -> None:
    """`own.markov_order1` was solved; the columns of ChannelAttribution are simulated and not exact."""
    journeys, reference = paths
    exact = reference["own"]["markov_order1"]
    assert off(markov(journeys), exact["conversions"]) < HALF_A_DIGIT
    effects = removal_effects(journeys)
    assert effects.conversion_probability == pytest.approx(exact["base_conversion_probability"], abs=1e-8)
    for name, effect in zip(journeys.channels, effects.conversions, strict=True):
        assert effect == pytest.approx(exact["removal_effect"][name], abs=1e-6)


def test_both_shapley_games_equal_the_exact_enumeration(paths: Found) -> None:
    journeys, reference = paths
    own = reference["own"]
    assert off(shapley(journeys), own["shapley_exact_conversions_game"]["values"]) < HALF_A_DIGIT
    rates = shapley(journeys, game="rate")
    assert off(rates, own["shapley_exact_rate_game"]["share_scaled_to_conversions"]) < HALF_A_DIGIT


def test_credits_add_up_to_all_conversions_and_all_value(paths: Found) -> None:
    journeys, reference = paths
    totals = reference["totals"]
    credits = [by_rule(journeys, rule) for rule in ("first", "last", "linear", "position")]
    for each in [
        *credits,
        markov(journeys),
        markov(journeys, order=2),
        shapley(journeys),
        shapley(journeys, game="rate"),
    ]:
        assert each.conversions.sum() == pytest.approx(totals["conversions"], rel=1e-12)
        assert each.values.sum() == pytest.approx(journeys.total_value, rel=1e-12)
        assert each.values.sum() == pytest.approx(totals["conversion_value"], abs=0.5001e-3)  # given to three digits
