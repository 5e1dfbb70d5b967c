"""A season is corrected for where that proves better out of time, and only there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.modelling.clv.seasons import LastYear, seasonal
from tests.conftest import Service
from tests.support.clv import Clv, Fact

pytestmark = pytest.mark.anyio

START, DAYS = datetime(2024, 11, 4, 10, tzinfo=UTC), 726


def periods(*pairs: tuple[int, float]) -> list[dict[str, float]]:
    return [{"actual": actual, "expected": expected} for actual, expected in pairs]


def test_last_year_s_factor_is_offered_where_it_would_have_helped() -> None:
    last = LastYear("2025-08-31", periods((150, 100.0), (150, 100.0)))
    found = seasonal(periods((140, 100.0), (170, 100.0)), last)
    assert (found["offered"], found["factor"], found["expected"]) == (True, 1.5, 300)
    # -log P of Poisson but for log(actual!), period by period: 150 - 140 log 150 and 150 - 170 log 150.
    assert found["log_loss"] == pytest.approx(150 - 155 * np.log(150))
    assert found["log_loss_uncorrected"] == pytest.approx(100 - 155 * np.log(100))


def test_it_is_not_where_it_would_have_misled() -> None:
    last = LastYear("2025-08-31", periods((150, 100.0), (150, 100.0)))
    found = seasonal(periods((101, 100.0), (97, 100.0)), last)
    assert (found["offered"], found["factor"], found["reason"]) == (False, None, "not_better")
    assert found["log_loss"] > found["log_loss_uncorrected"]
    assert seasonal(periods((1, 1.0)), None)["reason"] == "history_too_short"
    assert seasonal(periods((1, 1.0)), LastYear("2025-08-31", periods((0, 3.0))))["reason"] == "zero_denominator"


def autumn_shop() -> Iterator[Fact]:
    """400 customers who leave as the model says, and buy twice as often in September and October."""
    rng = np.random.default_rng(3)
    for number in range(400):
        rate, leaves, day = rng.gamma(0.8) / 20, rng.beta(0.8, 6), float(rng.integers(0, DAYS - 60))
        while day < DAYS:
            at = START + timedelta(days=int(day))
            yield f"C-{number:03}", at, "purchase", int(rng.integers(1_000, 5_000))
            if rng.random() < leaves:
                break
            day += 1 + rng.exponential(1 / rate) / (2 if at.month in (9, 10) else 1)


async def test_a_shop_with_an_autumn_is_told_of_it(service: Service) -> None:
    clv = Clv(service)
    clv.store(autumn_shop(), currency="EUR")
    found = await clv.train(model="bg_nbd", calibration_end="2026-08-31", horizon_days=60)
    holdout = found["holdout"]
    assert holdout["actual"] > holdout["high"]
    told = holdout["seasonal"]
    assert (told["offered"], told["reason"]) == (True, None)
    # Gaps shorten by half only from the first autumn purchase on: a factor between 1 and 2.
    assert 1.1 < told["factor"] < 2
    assert abs(told["expected"] - holdout["actual"]) < abs(holdout["expected"] - holdout["actual"])
    assert "2025-09-01" in told["detail"]
