"""The shop's true returns lie in the intervals that its holdouts give, as often as these say."""

from datetime import date

import numpy as np
import pytest

from app.cli.demo.shop import Shop, simulate
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate
from app.stats.returns.gains import incremental_total
from app.stats.returns.investment import return_on_investment
from tests.support.intervals import held_as_stated
from tests.unit.demo.test_truth import outcomes

SEEDS = range(2_000, 2_200)
YEAR = {"start": date(2025, 2, 1), "end": date(2026, 2, 1)}


def holds(found: Estimate, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def judged(shop: Shop, position: int) -> bool:
    """Whether the interval of the return in margin holds the truth of a campaign, and so that of its effect."""
    truth = shop.truths[position]
    seen, treated = outcomes(shop, position)
    margin = np.rint(100 * seen[1]).astype(np.int64)
    gain = incremental_total([Sums.of(margin[treated])], Sums.of(margin[~treated])).interval()
    inside = holds(return_on_investment(gain, 100 * truth.cost), truth.margin_roi)
    assert inside == holds(gain, 100 * truth.margin_effect * truth.treated)
    return inside


@pytest.mark.slow
def test_true_effect_and_return_lie_in_the_intervals_as_often_as_stated_over_200_shops() -> None:
    found = [
        judged(shop, position)
        for shop in (simulate(seed, customers=1_000, **YEAR) for seed in SEEDS)
        for position in range(len(shop.campaigns))
    ]
    assert held_as_stated(sum(found), len(found), level=0.95)
