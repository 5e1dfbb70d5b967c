"""The truth the shop tells about its campaigns is what an experimenter finds, within the experiment's own error."""

from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom

from app.cli.demo import catalogue as world
from app.cli.demo.campaigns import PLANS
from app.cli.demo.events import EMAIL_SENT
from app.cli.demo.shop import Shop, simulate

SEEDS = range(500, 540)
# Chance of a false alarm of one comparison: that of four standard errors.
FALSE_ALARM = 6.3e-5
METRICS = ("revenue", "margin", "purchase_rate")


def outcomes(shop: Shop, position: int) -> tuple[np.ndarray, np.ndarray]:
    """What an experimenter sees: figures of each assigned customer (rows by METRICS), and who was treated."""
    campaign, rows = shop.campaigns[position], shop.transactions
    who, treated = shop.assignments.of(position)
    day = (rows.occurred_at.astype("datetime64[D]") - shop.season.first).astype(int)
    during = (rows.customer >= 0) & (day >= campaign.first_day) & (day < campaign.end_day)
    sign = np.where(rows.is_refund, -1, 1) / 100
    euros = shop.rates.in_euros(shop.season)[rows.currency, day] * sign
    size = len(shop.customers)

    def per_customer(weight: np.ndarray) -> np.ndarray:
        return np.bincount(rows.customer[during], weight[during], size)[who]

    bought = per_customer((~rows.is_refund).astype(float)) > 0
    return np.stack([per_customer(rows.amount_minor * euros), per_customer(rows.margin_minor * euros), bought]), treated


@pytest.fixture(scope="module")
def experiments() -> dict[str, np.ndarray]:
    """Estimate minus truth, and the standard error, of every campaign of every seed; shape (2, metrics, campaigns)."""
    effects, baselines = [], []
    for seed in SEEDS:
        shop = simulate(seed)
        for position, truth in enumerate(shop.truths):
            seen, treated = outcomes(shop, position)
            arms = seen[:, treated], seen[:, ~treated]
            variances = [arm.var(axis=1, ddof=1) / arm.shape[1] for arm in arms]
            true = np.array([truth.revenue_effect, truth.margin_effect, truth.purchase_rate_effect])
            effects.append((arms[0].mean(axis=1) - arms[1].mean(axis=1) - true, np.sqrt(sum(variances))))
            usual = np.array([truth.baseline_revenue, np.nan, truth.baseline_purchase_rate])
            baselines.append((arms[1].mean(axis=1) - usual, np.sqrt(variances[1])))
    return {"effect": np.moveaxis(np.array(effects), 0, 2), "baseline": np.moveaxis(np.array(baselines), 0, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_effects_are_estimated_without_bias(experiments: dict[str, np.ndarray], metric: str) -> None:
    """The errors of all campaigns sum to zero, within four standard errors of that sum.

    They are summed as they are: dividing each by its own standard error would bias the sum, because of skewed
    amounts the estimate and its error move together.
    """
    error, standard_error = experiments["effect"][:, METRICS.index(metric)]
    assert abs(error.sum()) < 4 * sqrt((standard_error**2).sum())


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["revenue", "purchase_rate"])
def test_what_happens_without_the_campaign_is_told_without_bias(
    experiments: dict[str, np.ndarray], metric: str
) -> None:
    error, standard_error = experiments["baseline"][:, METRICS.index(metric)]
    assert abs(error.sum()) < 4 * sqrt((standard_error**2).sum())


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_intervals_of_95_percent_hold_the_truth_as_often_as_they_say(
    experiments: dict[str, np.ndarray], metric: str
) -> None:
    error, standard_error = experiments["effect"][:, METRICS.index(metric)]
    holds = np.abs(error) < 1.96 * standard_error
    assert holds.sum() >= binom.ppf(FALSE_ALARM, holds.size, 0.95)
    assert holds.sum() <= binom.ppf(1 - FALSE_ALARM, holds.size, 0.95)


def test_the_holdout_has_its_share(shop: Shop) -> None:
    for position, campaign in enumerate(shop.campaigns):
        treated = shop.assignments.of(position)[1]
        share = campaign.plan.holdout_share
        assert abs((~treated).mean() - share) < 4 * sqrt(share * (1 - share) / treated.size)


def test_arms_do_not_differ_in_what_they_are(shop: Shop) -> None:
    for position in range(len(shop.campaigns)):
        chosen, treated = shop.assignments.of(position)
        for latent in (shop.latents.purchase_rate, shop.latents.mean_spend):
            arms = latent[chosen[treated]], latent[chosen[~treated]]
            apart = arms[0].mean() - arms[1].mean()
            assert abs(apart) < 4 * sqrt(sum(arm.var(ddof=1) / arm.size for arm in arms))


def test_a_campaign_that_does_nothing_has_a_truth_of_zero_and_loses_its_cost(shop: Shop) -> None:
    idle = [truth for truth in shop.truths if truth.campaign_id.startswith("demo-summer")]
    assert idle
    for truth in idle:
        assert (truth.revenue_effect, truth.margin_effect, truth.purchase_rate_effect, truth.roi) == (0, 0, 0, -1)


def test_roi_is_gain_less_cost_over_cost(shop: Shop) -> None:
    for position, truth in enumerate(shop.truths):
        booked = [cost for cost in shop.costs if cost.campaign_id == truth.campaign_id]
        assert truth.cost == pytest.approx(sum(cost.amount_minor for cost in booked) / 100)
        assert truth.treated == shop.assignments.of(position)[1].sum()
        assert truth.gain == pytest.approx(truth.revenue_effect * truth.treated)
        assert truth.roi == pytest.approx((truth.gain - truth.cost) / truth.cost)
        assert truth.margin_roi == pytest.approx((truth.margin_effect * truth.treated - truth.cost) / truth.cost)


def test_the_lift_is_that_of_the_plan_but_for_refunds_of_earlier_purchases() -> None:
    """Net of refunds the baseline is smaller by those of earlier purchases, which no campaign can change."""
    shop = simulate(2)
    for campaign, truth in zip(shop.campaigns, shop.truths, strict=True):
        planned = campaign.revenue_factor - 1
        assert truth.purchase_lift == campaign.plan.purchase_lift
        if campaign.plan.audience == "lapsed":  # their last purchase is older than any refund
            assert truth.revenue_lift == pytest.approx(planned)
        else:
            assert planned <= truth.revenue_lift < planned * 1.2 + 1e-12


def test_the_truth_is_net_of_the_refunds_that_fall_into_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most the share of all that ever comes back, and more than nothing: some refunds come too late to count."""
    net = simulate(2).truths
    monkeypatch.setattr(world, "REFUND_RATE", 0.0)
    gross = simulate(2).truths
    all_of_it = 0.05 * (0.75 + 0.25 * 0.5)
    for one, other in zip(net, gross, strict=True):
        if other.revenue_effect:
            assert 0.2 * all_of_it < 1 - one.revenue_effect / other.revenue_effect < all_of_it
            assert 0.2 * all_of_it < 1 - one.margin_effect / other.margin_effect < all_of_it


def test_every_plan_is_carried_out_each_year(shop: Shop) -> None:
    keys = {campaign.campaign_id.rsplit("-", 1)[0].removeprefix("demo-") for campaign in shop.campaigns}
    assert keys == {plan.key for plan in PLANS}


def test_each_campaign_reached_its_treated_by_mail(shop: Shop) -> None:
    sent = np.bincount(shop.events.campaign[shop.events.kind == EMAIL_SENT], minlength=len(shop.campaigns))
    assert sent.tolist() == [truth.treated for truth in shop.truths]
