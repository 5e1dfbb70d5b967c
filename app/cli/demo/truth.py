"""What each campaign truly did: expectations in closed form, for estimates to be held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.books import Cost, Rates, total_minor
from app.cli.demo.campaigns import Assignments, Campaign
from app.cli.demo.draws import Codes, Floats, Integers
from app.cli.demo.people import Customers, Latents
from app.cli.demo.refunds import expected_refund
from app.cli.demo.seasons import Season


@dataclass(frozen=True, slots=True)
class Truth:
    """Expected figures of one campaign, given who was assigned and what each of them is like; euros.

    Per assigned customer, from the campaign's start to its end: `*_effect` is treated minus untreated, `baseline_*`
    untreated; revenue and margin are net of refunds booked by the end. `revenue_lift` = effect / baseline.
    `gain` and `margin_gain` are over all treated; `roi` = (gain - cost) / cost.
    """

    campaign_id: str
    assigned: int
    treated: int
    purchase_lift: float
    baseline_revenue: float
    revenue_effect: float
    revenue_lift: float
    margin_effect: float
    baseline_purchase_rate: float
    purchase_rate_effect: float
    gain: float
    margin_gain: float
    cost: float
    roi: float
    margin_roi: float


@dataclass(frozen=True, slots=True)
class Past:
    """Purchases that were made, for the refunds of earlier purchases that fall into a campaign."""

    customer: Integers
    day: Integers
    currency: Codes
    amount_minor: Integers


@dataclass(frozen=True, slots=True)
class World:
    """What truth is computed from besides the campaign."""

    season: Season
    customers: Customers
    latents: Latents
    left: Floats
    rates: Rates
    past: Past


def truth(known: World, campaign: Campaign, *, assignments: Assignments, position: int, costs: Sequence[Cost]) -> Truth:
    """The truth of one campaign."""
    who, treated = assignments.of(position)
    revenue, margin = _expected(known, campaign, who=who)
    size, extra = who.size, campaign.revenue_factor - 1
    baseline = float(revenue.sum() - _earlier_refunds(known, campaign, who=who)) / size
    effect, margin_effect = float(extra * revenue.sum() / size), float(extra * margin.sum() / size)
    untreated, treated_rate = _purchase_rates(known, campaign, who=who)
    gain, margin_gain = effect * int(treated.sum()), margin_effect * int(treated.sum())
    cost = total_minor(costs, campaign.campaign_id) / 100
    return Truth(
        campaign_id=campaign.campaign_id,
        assigned=who.size,
        treated=int(treated.sum()),
        purchase_lift=campaign.plan.purchase_lift,
        baseline_revenue=baseline,
        revenue_effect=effect,
        revenue_lift=effect / baseline,
        margin_effect=margin_effect,
        baseline_purchase_rate=untreated,
        purchase_rate_effect=treated_rate - untreated,
        gain=gain,
        margin_gain=margin_gain,
        cost=cost,
        roi=(gain - cost) / cost,
        margin_roi=(margin_gain - cost) / cost,
    )


def _expected(known: World, campaign: Campaign, *, who: Integers) -> tuple[Floats, Floats]:
    """Untreated revenue and margin each is expected to bring by purchases in the window, net of refunds in it.

    A customer alive at the start, with rate L and drop-out p, makes (1 - exp(-L p u)) / p repeat purchases within busy
    time u (Fader, Hardie, Lee 2005, for one customer); whoever left makes none, and exponential gaps forget the past.
    """
    season, latents = known.season, known.latents
    worth = known.rates.in_euros(season)
    rate, dropout = latents.purchase_rate[who], latents.dropout[who]
    alive = known.left[who] > season.clock[campaign.first_day]
    currency = known.customers.currency[who]
    net = np.zeros(who.size)
    for day in range(campaign.first_day, campaign.end_day):
        begin, end = season.clock[day : day + 2] - season.clock[campaign.first_day]
        purchases = np.exp(-rate * dropout * begin) * -np.expm1(-rate * dropout * (end - begin)) / dropout
        refund = expected_refund(day, begin=campaign.first_day, end=campaign.end_day, worth=worth)
        net += purchases * (worth[:, day] - refund)[currency]
    list_ratio = np.array(world.LIST_RATIOS)[currency]
    revenue = alive * net * latents.mean_spend[who] * list_ratio
    return revenue, revenue * latents.margin_rate[who]


def _earlier_refunds(known: World, campaign: Campaign, *, who: Integers) -> float:
    """Expected refunds, booked in the window, of purchases the assigned made before it."""
    past = known.past
    assigned = np.zeros(len(known.customers) + 1, np.bool_)
    assigned[who] = True
    total, worth = 0.0, known.rates.in_euros(known.season)
    for day in range(max(0, campaign.first_day - world.LONGEST_REFUND_DAYS), campaign.first_day):
        rows = np.flatnonzero((past.day == day) & assigned[past.customer])
        refund = expected_refund(day, begin=campaign.first_day, end=campaign.end_day, worth=worth)
        total += float(past.amount_minor[rows] @ refund[past.currency[rows]]) / 100
    return total


def _purchase_rates(known: World, campaign: Campaign, *, who: Integers) -> tuple[float, float]:
    """Chance to buy at all in the window, untreated and treated; drop-out only follows a purchase."""
    begin, end = known.season.clock[[campaign.first_day, campaign.end_day]]
    alive = known.left[who] > begin
    exposure = known.latents.purchase_rate[who] * (end - begin)
    untreated = np.mean(alive * -np.expm1(-exposure))
    treated = np.mean(alive * -np.expm1(-exposure * (1 + campaign.plan.purchase_lift)))
    return float(untreated), float(treated)
