"""The simulated history has the distributions it claims.

Tolerances are four standard errors of what is compared (chance of a false alarm per comparison 6e-5), and seeds are
fixed, so a test that passes once passes always. Expected values come from the published formulas or from the stated
parameters, never from a run.
"""

from datetime import timedelta
from math import sqrt

import numpy as np
import pytest
from scipy.special import hyp2f1

from app.cli.demo import catalogue as world
from app.cli.demo import purchases
from app.cli.demo.baskets import fill
from app.cli.demo.draws import Streams, pick_tilted, ranks_of
from app.cli.demo.people import people
from app.cli.demo.refunds import expected_refund, refunds
from app.cli.demo.seasons import DAY, WEEKDAYS, season, yearly
from app.cli.demo.shop import DEFAULT_END, DEFAULT_START, Shop

STANDARD_ERRORS = 4.0
CALENDAR = season(DEFAULT_START, DEFAULT_END)


def assert_share(successes: int, trials: int, expected: float) -> None:
    tolerance = STANDARD_ERRORS * sqrt(expected * (1 - expected) / trials)
    assert abs(successes / trials - expected) < tolerance


def assert_mean(sample: np.ndarray, expected: np.ndarray | float) -> None:
    apart = sample - expected
    assert abs(apart.mean()) < STANDARD_ERRORS * apart.std(ddof=1) / sqrt(apart.size)


@pytest.fixture(scope="module")
def base() -> tuple[purchases.Baseline, np.ndarray, np.ndarray]:
    """Baseline purchases of 30,000 customers, their number of purchases, and busy weeks since the first."""
    streams = Streams(23)
    _, latents = people(streams, 30_000, season=CALENDAR)
    found = purchases.baseline(streams, latents, season=CALENDAR)
    count = np.bincount(found.orders.customer, minlength=30_000)
    weeks = (CALENDAR.busy_until_end - CALENDAR.busy(latents.first_purchase)) / 7
    return found, count, weeks


def test_repeat_purchases_are_as_many_as_bg_nbd_expects(
    base: tuple[purchases.Baseline, np.ndarray, np.ndarray],
) -> None:
    """Fader, Hardie, Lee (2005), "Counting your customers" the easy way, equation 9."""
    _, count, weeks = base
    r, alpha, a, b = world.BUYING_R, world.BUYING_ALPHA, world.DROPOUT_A, world.DROPOUT_B
    buyers = count > 0
    t = weeks[buyers]
    share = (alpha / (alpha + t)) ** r * hyp2f1(r, b, a + b - 1, t / (alpha + t))
    assert_mean(count[buyers] - 1, (a + b - 1) / (a - 1) * (1 - share))


def test_one_time_buyers_are_as_many_as_bg_nbd_expects(base: tuple[purchases.Baseline, np.ndarray, np.ndarray]) -> None:
    """P(X(t) = 0) = (alpha / (alpha + t))^r: nobody drops out before a repeat purchase."""
    _, count, weeks = base
    buyers = count > 0
    expected = (world.BUYING_ALPHA / (world.BUYING_ALPHA + weeks[buyers])) ** world.BUYING_R
    assert_mean((count[buyers] == 1).astype(float), expected)


def test_the_first_repeat_purchase_is_the_last_for_a_share_of_a_in_a_plus_b(
    base: tuple[purchases.Baseline, np.ndarray, np.ndarray],
) -> None:
    found, count, _ = base
    repeaters = np.flatnonzero(count > 1)
    gone_at_once = (count[repeaters] == 2) & np.isfinite(found.left[repeaters])
    mean_dropout = world.DROPOUT_A / (world.DROPOUT_A + world.DROPOUT_B)
    assert_share(int(gone_at_once.sum()), repeaters.size, mean_dropout)


def test_some_register_and_never_buy(base: tuple[purchases.Baseline, np.ndarray, np.ndarray]) -> None:
    _, count, weeks = base
    # Those who come close to the end may not have bought yet; eight half-lives of the wait are enough.
    _, latents = people(Streams(23), 30_000, season=CALENDAR)
    early = latents.created < CALENDAR.days - 100
    assert_share(int((count[early] == 0).sum()), int(early.sum()), world.NEVER_BUYS_SHARE)
    assert (weeks[count > 0] > 0).all()


def test_amounts_and_margins_are_expected_to_be_what_the_customer_is_worth() -> None:
    streams = Streams(29)
    customers, latents = people(streams, 5_000, season=CALENDAR)
    who = np.repeat(np.arange(5_000), 12)
    orders = purchases.orders_of(who, np.full(who.size, 100.0))
    factor = np.where(np.arange(who.size) % 2, 1.3, 1.0)
    baskets = fill(streams, orders, customers=customers, latents=latents, factor=factor)
    expected = 100 * latents.mean_spend[who] * np.array(world.LIST_RATIOS)[customers.currency[who]] * factor
    assert_mean(baskets.amount_minor / expected, 1.0)
    assert_mean(baskets.margin_minor / (expected * latents.margin_rate[who]), 1.0)


def test_mean_order_values_are_gamma_gamma() -> None:
    """Fader, Hardie (2005), "The gamma-gamma model of monetary value": mean p gamma / (q - 1)."""
    _, latents = people(Streams(31), 40_000, season=CALENDAR)
    assert_mean(latents.mean_spend, world.SPEND_P * world.SPEND_GAMMA / (world.SPEND_Q - 1))


def test_one_purchase_in_twenty_comes_back(shop: Shop) -> None:
    rows = shop.transactions
    matured = np.datetime64(shop.end) - np.timedelta64(world.LONGEST_REFUND_DAYS + 1, "D")
    old = int((rows.occurred_at[: rows.purchases] < matured).sum())
    returned = rows.refunds[rows.is_refund]
    assert_share(int((returned < old).sum()), old, world.REFUND_RATE)
    full = rows.amount_minor[rows.is_refund] == rows.amount_minor[returned]
    assert_share(int(full.sum()), full.size, world.FULL_REFUND_SHARE)


def test_guests_make_their_share_of_purchases(shop: Shop) -> None:
    guests = int((shop.transactions.customer[: shop.transactions.purchases] == purchases.GUEST).sum())
    # The number is set, not drawn; only rounding to a whole one is lost.
    assert guests / shop.transactions.purchases == pytest.approx(world.GUEST_SHARE, abs=1 / shop.transactions.purchases)


def test_countries_and_consent_have_their_shares(shop: Shop) -> None:
    size = len(shop.customers)
    for code, share in enumerate(world.COUNTRY_WEIGHTS):
        assert_share(int((shop.customers.country == code).sum()), size, share / sum(world.COUNTRY_WEIGHTS))
    assert_share(int(shop.customers.marketing_consent.sum()), size, world.MARKETING_CONSENT_SHARE)
    assert_share(int(shop.customers.profiling_consent.sum()), size, world.PROFILING_CONSENT_SHARE)


def test_the_weeks_before_christmas_are_the_busiest_of_the_year() -> None:
    monthly = [yearly(np.arange(365))[day : day + 30].mean() for day in range(0, 360, 30)]
    assert np.argmax(monthly) == 11
    assert monthly[11] > 1.7
    assert yearly(np.arange(365)).mean() == pytest.approx(1)
    assert WEEKDAYS.mean() == pytest.approx(1)


def test_purchases_follow_the_season() -> None:
    """Guests come with no history: their purchases per period are binomial in its share of the season."""
    guests = purchases.guests(Streams(37), CALENDAR, known=200_000)
    days = [DEFAULT_START + timedelta(days=day) for day in range((DEFAULT_END - DEFAULT_START).days)]
    weight = np.array([yearly(np.array([day.timetuple().tm_yday - 1]))[0] * WEEKDAYS[day.weekday()] for day in days])
    for name, inside in (
        ("December", [day.month == 12 for day in days]),
        ("July", [day.month == 7 for day in days]),
        ("Sunday", [day.weekday() == 6 for day in days]),
        ("Tuesday", [day.weekday() == 1 for day in days]),
    ):
        bought = int(np.array(inside)[np.floor(guests.day).astype(int)].sum())
        share = float(weight[inside].sum() / weight.sum())
        assert abs(bought / len(guests) - share) < STANDARD_ERRORS * sqrt(share * (1 - share) / len(guests)), name


def test_refunds_in_a_window_are_expected_as_they_are_drawn() -> None:
    """Half a million purchases on day 100; refunds booked before day 110, and all of them."""
    size, day, worth = 500_000, 100, np.ones((1, CALENDAR.days))
    drawn = refunds(Streams(43), np.full(size, day * DAY), season=CALENDAR)
    for end in (110, CALENDAR.days):
        value = np.zeros(size)
        booked = drawn.second < end * DAY
        value[drawn.purchase[booked]] = drawn.share[booked]
        assert_mean(value, expected_refund(day, begin=0, end=end, worth=worth)[0])
    everything = expected_refund(day, begin=0, end=CALENDAR.days, worth=worth)[0]
    assert everything == pytest.approx(world.REFUND_RATE * world.MEAN_REFUND_SHARE)


def test_most_of_the_day_is_busier_than_the_night(shop: Shop) -> None:
    hours = shop.transactions.occurred_at.astype("datetime64[h]").astype(int) % 24
    counts = np.bincount(hours[: shop.transactions.purchases], minlength=24)
    assert np.argmax(counts) in (19, 20, 21)
    assert counts[2:5].sum() < 0.03 * counts.sum()


def test_attributes_hint_at_behaviour_without_bending_it() -> None:
    rng = np.random.default_rng(41)
    values = rng.gamma(1.0, 1.0, 50_000)
    picked = pick_tilted(rng, [0.5, 0.5], tilts=[0.0, 2.0], ranks=ranks_of(values))
    assert values[picked == 1].mean() > values[picked == 0].mean() * 1.5
