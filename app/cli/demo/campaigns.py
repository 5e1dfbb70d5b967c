"""The shop's campaigns: who was chosen, who was held out by lot, and what they caused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.books import Cost
from app.cli.demo.draws import Codes, Flags, Floats, Integers, Streams
from app.cli.demo.people import Customers, Latents
from app.cli.demo.purchases import Baseline, Orders, orders_of, together
from app.cli.demo.seasons import Season

# A campaign needs some customers to choose from, or there is none.
EARLIEST_DAY, SMALLEST_AUDIENCE = 60, 50
LAPSED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign of every year, and its true effect on those treated.

    purchase_lift: so much more often they buy while it runs, as long as they are alive; spend_lift: so much more
    their orders are worth. audience: `buyers` (bought before) or `lapsed` (bought before, but not lately).
    """

    key: str
    name: str
    objective: str
    month: int
    day: int
    days: int
    audience: str
    holdout_share: float
    purchase_lift: float
    spend_lift: float
    fixed_euros: float
    incentive_euros: float


PLANS = (
    Plan("spring", "Spring refresh", "revenue", 3, 10, 21, "buyers", 0.2, 0.35, 0.0, 150, 0.30),
    Plan("summer", "Summer thank-you", "retention", 6, 20, 14, "buyers", 0.2, 0.0, 0.0, 80, 0.20),
    Plan("winback", "Win-back", "reactivation", 9, 8, 28, "lapsed", 0.25, 0.60, 0.0, 60, 0.15),
    Plan("black-week", "Black Week", "revenue", 11, 16, 14, "buyers", 0.2, 0.30, 0.08, 260, 0.45),
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign with a holdout, over the days from starts_on until, and without, ends_on."""

    campaign_id: str
    plan: Plan
    starts_on: date
    ends_on: date
    first_day: int
    end_day: int

    @property
    def name(self) -> str:
        return f"{self.plan.name} {self.starts_on.year} (simulated)"

    @property
    def revenue_factor(self) -> float:
        """Revenue of the treated against what it were untreated."""
        return (1 + self.plan.purchase_lift) * (1 + self.plan.spend_lift)


@dataclass(frozen=True, slots=True)
class Assignments:
    """Who was in which arm: one row per campaign and assigned customer; campaign is a position in the list."""

    campaign: Codes
    customer: Integers
    treated: Flags

    def of(self, campaign: int) -> tuple[Integers, Flags]:
        here = self.campaign == campaign
        return self.customer[here], self.treated[here]


def planned(season: Season) -> list[Campaign]:
    """The campaigns that fit into the season whole, by start. They never overlap."""
    return sorted(_planned(season), key=lambda campaign: campaign.first_day)


def _planned(season: Season) -> Iterator[Campaign]:
    first = date.fromisoformat(str(season.first))
    for year in range(first.year, first.year + season.days // 365 + 2):
        for plan in PLANS:
            start = date(year, plan.month, plan.day)
            day = season.day_of(start)
            if day >= EARLIEST_DAY and day + plan.days <= season.days:
                end = start + timedelta(days=plan.days)
                yield Campaign(f"demo-{plan.key}-{year}", plan, start, end, day, day + plan.days)


def run(
    streams: Streams, customers: Customers, *, latents: Latents, base: Baseline, season: Season
) -> tuple[list[Campaign], Assignments, Orders]:
    """Choose, assign by lot, and let the treated buy more. Returns also the orders induced."""
    campaigns: list[Campaign] = []
    chosen, arms = [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    induced = [orders_of(np.empty(0, np.int64), np.empty(0))]
    for campaign in planned(season):
        rng = streams.of(campaign.campaign_id)
        audience = _audience(campaign, customers, orders=[base.orders, *induced])
        if audience.size < SMALLEST_AUDIENCE:
            continue
        treated = rng.random(audience.size) >= campaign.plan.holdout_share
        chosen.append(audience)
        arms.append(treated)
        extra = _induced(rng, campaign, treated=audience[treated], latents=latents, left=base.left, season=season)
        induced.append(orders_of(*extra, induced_by=len(campaigns)))
        campaigns.append(campaign)
    position = np.repeat(np.arange(-1, len(campaigns), dtype=np.int8), [each.size for each in chosen])
    return campaigns, Assignments(position, np.concatenate(chosen), np.concatenate(arms)), together(induced)


def _audience(campaign: Campaign, customers: Customers, *, orders: Sequence[Orders]) -> Integers:
    """Customers who bought before the campaign and agree to marketing; for `lapsed` not within the last days."""
    last = np.full(len(customers), -np.inf)
    for part in orders:
        before = part.day < campaign.first_day
        np.maximum.at(last, part.customer[before], part.day[before])
    latest = campaign.first_day - (LAPSED_DAYS if campaign.plan.audience == "lapsed" else 0)
    return np.flatnonzero(customers.marketing_consent & np.isfinite(last) & (last < latest))


def _induced(
    rng: np.random.Generator,
    campaign: Campaign,
    *,
    treated: Integers,
    latents: Latents,
    left: Floats,
    season: Season,
) -> tuple[Integers, Floats]:
    """Purchases on top of the baseline: a Poisson stream at lift x the customer's own rate, as long as they are there.

    Its expected number is exactly lift x that of the baseline in the same days, and it reaches people who would
    not have bought at all.
    """
    begin, end = season.busy(float(campaign.first_day)), season.busy(float(campaign.end_day))
    there = np.clip(left[treated], begin, end) - begin
    count = rng.poisson(campaign.plan.purchase_lift * latents.purchase_rate[treated] * there)
    customer = np.repeat(treated, count)
    busy = begin + rng.random(customer.size) * np.repeat(there, count)
    return customer, season.calendar(busy)


def spend_factor(campaigns: Sequence[Campaign], assignments: Assignments, *, orders: Orders, customers: int) -> Floats:
    """By what each order is worth more than without campaigns."""
    factor = np.ones(len(orders))
    for position, campaign in enumerate(campaigns):
        if campaign.plan.spend_lift:
            factor[treated_orders(position, campaign, assignments=assignments, orders=orders, customers=customers)] *= (
                1 + campaign.plan.spend_lift
            )
    return factor


def treated_orders(
    position: int, campaign: Campaign, *, assignments: Assignments, orders: Orders, customers: int
) -> Flags:
    """Which orders the treated made while the campaign ran."""
    chosen, treated = assignments.of(position)
    # One place more than customers: guests, who are at -1, read it.
    is_treated = np.zeros(customers + 1, np.bool_)
    is_treated[chosen[treated]] = True
    return (orders.day >= campaign.first_day) & (orders.day < campaign.end_day) & is_treated[orders.customer]


def campaign_costs(campaigns: Sequence[Campaign], assignments: Assignments) -> list[Cost]:
    """Creation and sending, and an incentive for everyone treated."""
    found = []
    for position, campaign in enumerate(campaigns):
        treated = int(assignments.of(position)[1].sum())
        amounts = {"media": campaign.plan.fixed_euros, "incentive": campaign.plan.incentive_euros * treated}
        found += [
            Cost(
                f"{campaign.campaign_id}-{category}",
                category,
                round(100 * euros),
                world.CURRENCIES[world.EUR],
                campaign.starts_on,
                campaign.ends_on,
                channel=world.CHANNELS[world.EMAIL],
                campaign_id=campaign.campaign_id,
            )
            for category, euros in amounts.items()
        ]
    return found
