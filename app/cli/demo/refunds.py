"""What comes back: some purchases are refunded, whole or by half, within some weeks."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Floats, Integers, Streams
from app.cli.demo.seasons import DAY, Season

# Refunds are booked in office hours.
OPENS, CLOSES = 9 * 3_600, 18 * 3_600


@dataclass(frozen=True, slots=True)
class Refunds:
    """Refunds by time: of which purchase, when (seconds since the first day), and how much of it."""

    purchase: Integers
    second: Integers
    share: Floats


def refunds(streams: Streams, purchase_second: Integers, *, season: Season) -> Refunds:
    """Draw refunds of purchases; those due after the season's end have not happened yet."""
    rng = streams.of("refunds")
    purchase = np.flatnonzero(rng.random(purchase_second.size) < world.REFUND_RATE)
    delay = 1 + rng.choice(world.REFUND_DELAY.size, purchase.size, p=world.REFUND_DELAY)
    day = purchase_second[purchase] // DAY + delay
    second = day * DAY + rng.integers(OPENS, CLOSES, purchase.size)
    share = np.where(rng.random(purchase.size) < world.FULL_REFUND_SHARE, 1.0, world.PARTIAL_REFUND)
    happened = np.flatnonzero(day < season.days)
    order = happened[np.argsort(second[happened], kind="stable")]
    return Refunds(purchase[order], second[order], share[order])


def expected_refund(day: int, *, begin: int, end: int, worth: Floats) -> Floats:
    """Expected refunds, booked from `begin` until `end`, of one unit bought on a day.

    worth: what a unit of each currency is worth in euros on each day, shape (currencies, days).
    """
    due = day + 1 + np.arange(world.REFUND_DELAY.size)
    counted = (due >= begin) & (due < end)
    chance = world.REFUND_RATE * world.MEAN_REFUND_SHARE * world.REFUND_DELAY[counted]
    return np.asarray(worth[:, due[counted]] @ chance)
