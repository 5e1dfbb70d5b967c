"""What customers do besides buying: visits, page views, advertisements, surveys, support cases."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Codes, Floats, Instants, Integers, Streams, pick
from app.cli.demo.events import (
    CLICK,
    CSAT,
    IMPRESSION,
    NPS,
    PAGE_VIEW,
    SUPPORT,
    TOPICS,
    VISIT,
    Part,
)
from app.cli.demo.people import Customers, Latents
from app.cli.demo.purchases import GUEST
from app.cli.demo.seasons import Season
from app.cli.demo.transactions import Transactions

VISIT_CHANNELS = (world.DIRECT, world.SEARCH, world.EMAIL, world.SOCIAL, world.DISPLAY)
VISIT_CHANNEL_WEIGHTS = (0.38, 0.30, 0.10, 0.14, 0.08)
MINUTES_BEFORE_PURCHASE = (4, 60)
VISITS_WITHOUT_PURCHASE = 0.7  # for each expected purchase
CURIOUS_DAYS = 21.0  # for those who register and never buy
PAGE_VIEW_SHARE = 0.3
IMPRESSIONS_A_YEAR, CLICK_RATE = 0.8, 0.06
AD_CHANNELS, AD_WEIGHTS = (world.DISPLAY, world.SOCIAL), (0.6, 0.4)
SURVEY_SHARE, SUPPORT_SHARE, SUPPORT_PER_REFUND = 0.03, 0.02, 0.4
HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Known:
    """Transactions of known customers, times in seconds since the shop's first day."""

    rows: Transactions
    second: Integers
    created: Integers
    latents: Latents
    left: Floats
    season: Season

    def purchases(self) -> Integers:
        return np.flatnonzero((self.rows.customer != GUEST) & ~self.rows.is_refund)


def behaviour(streams: Streams, known: Known) -> list[Part]:
    """All of it, in no order."""
    return [
        *_shopping(streams.of("shopping"), known),
        *_browsing(streams.of("browsing"), known),
        *_advertisements(streams.of("advertisements"), known),
        *_surveys(streams.of("surveys"), known),
        *_support(streams.of("support"), known),
    ]


def known_of(rows: Transactions, customers: Customers, *, latents: Latents, left: Floats, season: Season) -> Known:
    def seconds(instants: Instants) -> Integers:
        return np.asarray((instants - season.first.astype("datetime64[s]")).astype(np.int64))

    return Known(rows, seconds(rows.occurred_at), seconds(customers.created_at), latents, left, season)


def _channels(rng: np.random.Generator, size: int) -> Codes:
    return np.array(VISIT_CHANNELS, np.int8)[pick(rng, VISIT_CHANNEL_WEIGHTS, size=size)]


def _shopping(rng: np.random.Generator, known: Known) -> list[Part]:
    """The visit in which an online purchase was made, and a look at its first product."""
    bought = known.purchases()
    bought = bought[known.rows.channel[bought] != world.STORE]
    customer = known.rows.customer[bought]
    low, high = MINUTES_BEFORE_PURCHASE
    came = known.second[bought] - rng.integers(low * 60, high * 60, bought.size)
    came = np.maximum(came, known.created[customer])
    visit = Part(VISIT, customer, came, channel=_channels(rng, bought.size))
    looked = came + ((known.second[bought] - came) * rng.random(bought.size)).astype(np.int64)
    product = known.rows.lines.product[known.rows.lines.start[bought]]
    view = Part(PAGE_VIEW, customer, looked, channel=visit.channel, detail=product)
    return [visit, view.where(rng.random(bought.size) < PAGE_VIEW_SHARE)]


def _browsing(rng: np.random.Generator, known: Known) -> list[Part]:
    """Visits without a purchase, as often as the customer's own rate makes them, until they leave."""
    season, latents = known.season, known.latents
    begin = season.busy(latents.created)
    curious = season.busy(latents.created + CURIOUS_DAYS)
    stays = np.where(np.isfinite(latents.first_purchase), season.busy_until_end, curious)
    time = np.maximum(np.minimum(known.left, stays) - begin, 0)
    count = rng.poisson(VISITS_WITHOUT_PURCHASE * latents.purchase_rate * time)
    customer = np.repeat(np.arange(count.size), count)
    busy = begin[customer] + rng.random(customer.size) * time[customer]
    came = np.maximum(season.seconds(season.calendar(busy)), known.created[customer])
    visit = Part(VISIT, customer, came, channel=_channels(rng, customer.size))
    product = rng.integers(0, len(world.PRODUCTS), customer.size)
    view = Part(PAGE_VIEW, customer, came + rng.integers(20, 600, customer.size), visit.channel, detail=product)
    return [visit, view.where(rng.random(customer.size) < PAGE_VIEW_SHARE)]


def _advertisements(rng: np.random.Generator, known: Known) -> list[Part]:
    """Advertisements seen by registered customers wherever they surf, and the few clicks on them."""
    season, created = known.season, known.latents.created
    count = rng.poisson(IMPRESSIONS_A_YEAR * (season.days - created) / 365)
    customer = np.repeat(np.arange(count.size), count)
    day = created[customer] + rng.random(customer.size) * (season.days - created[customer])
    seen = np.maximum(season.seconds(day), known.created[customer])
    channel = np.array(AD_CHANNELS, np.int8)[pick(rng, AD_WEIGHTS, size=customer.size)]
    click = Part(CLICK, customer, seen + rng.integers(2, 40, customer.size), channel=channel)
    return [Part(IMPRESSION, customer, seen, channel=channel), click.where(rng.random(customer.size) < CLICK_RATE)]


def _surveys(rng: np.random.Generator, known: Known) -> list[Part]:
    """Answers some days after a purchase: whoever is likely to leave is less content."""
    bought = known.purchases()
    asked = bought[rng.random(bought.size) < SURVEY_SHARE]
    customer = known.rows.customer[asked]
    second = known.second[asked] + rng.integers(20 * HOUR, 120 * HOUR, asked.size)
    mood = 1.2 - 3.0 * known.latents.dropout[customer] + rng.normal(0.0, 0.8, asked.size)
    csat = np.clip(np.rint(3.6 + mood), 1, 5).astype(np.int64)
    nps = np.clip(np.rint(7.4 + 1.6 * mood), 0, 10).astype(np.int64)
    long_form = rng.random(asked.size) < 0.5
    return [
        Part(CSAT, customer, second, detail=csat).where(~long_form),
        Part(NPS, customer, second, detail=nps).where(long_form),
    ]


def _support(rng: np.random.Generator, known: Known) -> list[Part]:
    """Cases before some refunds, and after some purchases."""
    back = np.flatnonzero((known.rows.customer != GUEST) & known.rows.is_refund)
    back = back[rng.random(back.size) < SUPPORT_PER_REFUND]
    # Refunds are booked the next day from nine o'clock on: up to eight hours before is after the purchase.
    before = known.second[back] - rng.integers(600, 8 * HOUR, back.size)
    bought = known.purchases()
    bought = bought[rng.random(bought.size) < SUPPORT_SHARE]
    after = known.second[bought] + rng.integers(HOUR, 72 * HOUR, bought.size)
    topics = rng.integers(0, len(TOPICS), bought.size)
    return [
        Part(SUPPORT, known.rows.customer[back], before, detail=TOPICS.index("refund")),
        Part(SUPPORT, known.rows.customer[bought], after, detail=topics),
    ]
