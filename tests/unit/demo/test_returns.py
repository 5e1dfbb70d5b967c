"""The shop's true returns lie in the intervals that its holdouts give, as often as these say."""

from datetime import date

import numpy as np
import pytest

from app.cli.demo.shop import Shop, simulate
from app.stats.comparison.means import lift
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate, Undetermined
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


def judged(shop: Shop, position: int) -> tuple[bool, bool | None]:
    """Whether the interval of the return in margin, and of the lift in revenue, hold the truth of a campaign.

    None: a holdout that bought nothing has no lift.
    """
    truth = shop.truths[position]
    seen, treated = outcomes(shop, position)
    revenue, margin = (np.rint(100 * figure).astype(np.int64) for figure in seen[:2])
    gain = incremental_total([Sums.of(margin[treated])], Sums.of(margin[~treated])).interval()
    higher = lift(Sums.of(revenue[treated]), Sums.of(revenue[~treated]))
    return (
        holds(return_on_investment(gain, 100 * truth.cost), truth.margin_roi),
        None if isinstance(higher, Undetermined) else holds(higher.interval(), truth.revenue_lift),
    )


@pytest.mark.slow
def test_true_lift_and_return_lie_in_the_intervals_as_often_as_stated_over_200_shops() -> None:
    found = [
        judged(shop, position)
        for shop in (simulate(seed, customers=1_000, **YEAR) for seed in SEEDS)
        for position in range(len(shop.campaigns))
    ]
    returns, lifts = zip(*found, strict=True)
    known = [each for each in lifts if each is not None]
    assert held_as_stated(sum(returns), len(returns), level=0.95)
    assert held_as_stated(sum(known), len(known), level=0.95)
