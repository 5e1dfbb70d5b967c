"""Arms by keyed hash: as large as planned, independent of everything, harmless where nothing was done."""

import hashlib
import math

import numpy as np
import pytest

from app.measurement.campaigns.arms import WHOLE, campaign_key, edge, shares_of
from app.measurement.campaigns.wording import sentence, summary
from app.stats.comparison import means
from app.stats.comparison.sums import Sums

SECRET = b"a secret that signs nothing of value"
CUSTOMERS = [f"C-{i}".encode() for i in range(1_000)]
CAMPAIGNS = 400


def in_holdout(campaign_id: str, share: float) -> np.ndarray:
    """What the database computes: the first part of the hash space, compared byte by byte."""
    key, limit = campaign_key(SECRET, campaign_id), edge(share)
    return np.array([hashlib.sha256(key + customer).digest() < limit for customer in CUSTOMERS])


@pytest.fixture(scope="module")
def arms() -> list[np.ndarray]:
    return [in_holdout(f"campaign {i}", 0.5) for i in range(CAMPAIGNS)]


def test_arms_are_as_large_as_planned(arms: list[np.ndarray]) -> None:
    total = sum(int(arm.sum()) for arm in arms)
    draws = CAMPAIGNS * len(CUSTOMERS)
    assert abs(total - draws / 2) < 5 * math.sqrt(draws / 4)


def test_where_nothing_was_done_one_in_twenty_campaigns_looks_as_if(arms: list[np.ndarray]) -> None:
    spend = np.random.default_rng(20260901).poisson(0.3, len(CUSTOMERS)) * 100
    found = 0
    for held in arms:
        effect = means.effect(Sums.of(spend[~held]), Sums.of(spend[held]))
        assert isinstance(effect, means.Difference)
        found += (effect.p_value or 1.0) < 0.05
    # Binomial with n = 400 and p = .05: 20, within four standard errors of 4.36.
    assert 2 < found < 38


def test_edges_order_as_numbers_and_end_at_the_end() -> None:
    assert edge(0.5) == (WHOLE // 2).to_bytes(8, "big")
    assert edge(0.1) < edge(0.2) < edge(0.9) < edge(1.0) == b"\xff" * 8


def test_without_a_holdout_there_is_no_control_arm() -> None:
    treated = [{"arm": "treated", "share": 1.0}]
    assert [each.arm for each in shares_of(0.0, treated)] == ["treated"]
    assert [each.arm for each in shares_of(0.1, treated)] == ["holdout", "treated"]


def row(value: float, low: float, high: float, **more: object) -> dict[str, object]:
    lift = {"value": value, "low": low, "high": high, "level": 0.95}
    return {"arm": "gift", "metric": "revenue_per_customer", "always_valid_lift": lift, "always_valid": lift, **more}


def test_sentences_claim_no_more_than_the_interval() -> None:
    power = {"days_needed": 9, "growth_needed": 2.0}
    assert sentence(row(0.041, -0.003, 0.086, power=power)) == (
        "Gift: revenue per customer 4.1 % higher than in the holdout (always-valid 95 % interval -0.3 % to 8.6 %): "
        "not conclusive; about 9 more days at this traffic."
    )
    assert sentence(row(0.041, 0.003, 0.086)).endswith("the campaign had an effect.")
    assert sentence(row(-0.041, -0.086, -0.003)).endswith("the campaign did harm.")
    growing = sentence(row(0.041, -0.003, 0.086, power={"days_needed": None, "growth_needed": 2.04}))
    assert growing.endswith("it would take about 2.0 times as many customers.")


def test_arms_that_are_not_as_planned_forbid_every_conclusion() -> None:
    maturity = {"mature": 10, "pending": 0}
    said = summary(
        [row(0.5, 0.4, 0.6)],
        metric="revenue_per_customer",
        sample_ratio={"ok": False, "p_value": 1e-9},
        maturity=maturity,
    )
    assert said.startswith("These results are not to be trusted")
    assert "had an effect" not in said
