"""Credit against a gain whose interval is known: every way the two can lie."""

import pytest

from app.measurement.attribution.incrementality import factor
from app.stats.estimate import Estimate


@pytest.mark.parametrize(
    ("credit", "gain", "expected"),
    [
        # credit; low, value and high of the gain; value, low, high, verdict and reason of the factor
        (300, (50, 100, 150), (3, 2, 6, "over_credited", None)),
        (100, (50, 100, 200), (1, 0.5, 2, "not_conclusive", None)),
        (25, (50, 100, 200), (0.25, 0.125, 0.5, "under_credited", None)),
        (300, (-50, 100, 200), (3, 1.5, None, "over_credited", "gain_may_be_zero")),
        (150, (-50, 100, 200), (1.5, 0.75, None, "not_conclusive", "gain_may_be_zero")),
        (300, (-200, -50, 100), (None, 3, None, "over_credited", "no_gain")),
        (50, (-200, -50, 100), (None, 0.5, None, "not_conclusive", "no_gain")),
        (1, (-200, -100, -50), (None, None, None, "over_credited", "no_gain")),
        (0, (50, 100, 200), (0, 0, 0, "under_credited", None)),
        (0, (-50, 0, 50), (None, 0, None, "not_conclusive", "no_gain")),
    ],
)
def test_the_factor_and_its_verdict_follow_the_interval_of_the_gain(
    credit: float, gain: tuple[float, float, float], expected: tuple[object, ...]
) -> None:
    low, value, high = gain
    found = factor(credit, Estimate(value, low, high, 0.95, "welch", 100))
    assert tuple(found.get(name) for name in ("value", "low", "high", "verdict", "reason")) == expected


def test_a_gain_without_spread_gives_a_factor_without_an_interval() -> None:
    found = factor(300, Estimate(100, None, None, 0.95, "welch", 100, "zero_variance"))
    assert (found["value"], found["low"], found["high"], found["reason"]) == (3, None, None, "zero_variance")
    assert found["verdict"] == "not_conclusive"
