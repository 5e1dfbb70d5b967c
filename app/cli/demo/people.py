"""Who the customers of the simulated shop are, and the hidden truth about each of them."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Codes, Flags, Floats, Instants, Streams, pick, pick_tilted, ranks_of
from app.cli.demo.seasons import Season

# The opening rush: so many times the usual number of new customers at first, fading over so many days.
RUSH, RUSH_DAYS = 1.5, 45.0
# Most people register in order to buy at once; the others come back within some days.
BUYS_AT_ONCE_SHARE, MINUTES_TO_CHECKOUT, DAYS_TO_FIRST_PURCHASE = 0.6, 40.0, 12.0
FAVOURITE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Customers:
    """What is known of the customers, in the order they came; codes are positions in the lists of `catalogue`."""

    created_at: Instants
    country: Codes
    age_band: Codes
    acquisition_channel: Codes
    sales_channel: Codes
    marketing_consent: Flags
    profiling_consent: Flags

    def __len__(self) -> int:
        return self.created_at.size

    @property
    def currency(self) -> Codes:
        return np.where(self.country == world.COUNTRIES.index("GB"), world.GBP, world.EUR).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Latents:
    """What nobody can see: how each customer really behaves.

    purchase_rate: repeat purchases per busy day while alive. dropout: chance to leave for good after a repeat
    purchase. mean_spend: euros an order is worth on average. favourite: category bought most. created, first_purchase:
    days since the shop's first day; first_purchase is infinite for those who never buy.
    """

    purchase_rate: Floats
    dropout: Floats
    mean_spend: Floats
    favourite: Codes
    created: Floats
    first_purchase: Floats

    @property
    def margin_rate(self) -> Floats:
        """Expected contribution margin per unit of revenue."""
        rates, weights = np.array(world.CATEGORY_MARGIN_RATES), np.array(world.CATEGORY_WEIGHTS)
        return np.asarray(FAVOURITE_SHARE * rates[self.favourite] + (1 - FAVOURITE_SHARE) * (rates @ weights))


def people(streams: Streams, size: int, *, season: Season) -> tuple[Customers, Latents]:
    """Draw the customers and their truth."""
    latents = _latents(streams.of("latents"), size, season=season)
    rng = streams.of("customers")
    customers = Customers(
        created_at=season.instants(season.seconds(latents.created)),
        country=pick(rng, world.COUNTRY_WEIGHTS, size=size),
        age_band=pick_tilted(rng, world.AGE_WEIGHTS, tilts=world.AGE_TILTS, ranks=ranks_of(latents.mean_spend)),
        acquisition_channel=pick_tilted(
            rng, world.ACQUISITION_WEIGHTS, tilts=world.ACQUISITION_TILTS, ranks=ranks_of(latents.purchase_rate)
        ),
        sales_channel=pick(rng, world.SALES_CHANNEL_WEIGHTS, size=size),
        marketing_consent=rng.random(size) < world.MARKETING_CONSENT_SHARE,
        profiling_consent=rng.random(size) < world.PROFILING_CONSENT_SHARE,
    )
    return customers, latents


def _latents(rng: np.random.Generator, size: int, *, season: Season) -> Latents:
    created = _arrivals(rng, size, season=season)
    at_once = rng.random(size) < BUYS_AT_ONCE_SHARE
    minutes = 3 + rng.exponential(MINUTES_TO_CHECKOUT, size)
    lag = np.where(at_once, minutes / 1_440, rng.exponential(DAYS_TO_FIRST_PURCHASE, size) + 0.01)
    first = np.where(rng.random(size) < world.NEVER_BUYS_SHARE, np.inf, created + lag)
    return Latents(
        purchase_rate=rng.gamma(world.BUYING_R, 1 / world.BUYING_ALPHA, size) / 7,
        dropout=rng.beta(world.DROPOUT_A, world.DROPOUT_B, size),
        mean_spend=mean_spends(rng, size),
        favourite=pick(rng, world.CATEGORY_WEIGHTS, size=size),
        created=created,
        first_purchase=np.where(first < season.days, first, np.inf),
    )


def mean_spends(rng: np.random.Generator, size: int) -> Floats:
    """Mean order values in euros, gamma-gamma across people."""
    return np.asarray(world.SPEND_P / rng.gamma(world.SPEND_Q, 1 / world.SPEND_GAMMA, size))


def _arrivals(rng: np.random.Generator, size: int, *, season: Season) -> Floats:
    """When each customer comes, ascending: more in the season, and in the rush after the opening."""
    middle = np.arange(season.days) + 0.5
    weight = np.diff(season.clock) * (1 + RUSH * np.exp(-middle / RUSH_DAYS))
    edges = np.concatenate([[0.0], np.cumsum(weight) / weight.sum()])
    return np.sort(np.interp(rng.random(size), edges, np.arange(edges.size, dtype=float)))
