"""What is in each basket and what it costs: gamma-gamma amounts made of products at list prices."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Codes, Flags, Floats, Integers, Streams, pick
from app.cli.demo.people import FAVOURITE_SHARE, Customers, Latents, mean_spends
from app.cli.demo.purchases import GUEST, Orders

LINES_WEIGHTS = (0.60, 0.28, 0.12)
# How evenly the value spreads over the lines of a basket.
EVENNESS = 3.0
PAIR_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of all purchases one after the other; those of purchase i are start[i] to start[i + 1].

    product is a position in `catalogue.PRODUCTS`, unit_price_minor in the currency of the purchase.
    """

    start: Integers
    product: Integers
    quantity: Integers
    unit_price_minor: Integers


@dataclass(frozen=True, slots=True)
class Baskets:
    """Amounts and lines of the orders, in their order."""

    currency: Codes
    amount_minor: Integers
    margin_minor: Integers
    lines: Lines


def fill(streams: Streams, orders: Orders, *, customers: Customers, latents: Latents, factor: Floats) -> Baskets:
    """Fill the basket of every order; `factor` raises what it is expected to be worth.

    Given the customer, the expected amount is exactly mean_spend x factor x list ratio, and the expected margin that
    times the customer's margin rate: amounts are rounded to price points at random, without bias.
    """
    rng = streams.of("baskets")
    known = orders.customer != GUEST
    who = np.where(known, orders.customer, 0)
    passing = pick(rng, world.COUNTRY_WEIGHTS, size=len(orders)) == world.COUNTRIES.index("GB")
    currency = np.where(known, customers.currency[who], passing).astype(np.int8)
    mean = np.where(known, latents.mean_spend[who], mean_spends(rng, len(orders)))
    worth = rng.gamma(world.SPEND_P, 1 / world.SPEND_P, len(orders)) * mean * factor
    target = worth * 100 * np.array(world.LIST_RATIOS)[currency]

    owner, line_target = _split(rng, target)
    step, quantity, price = _priced(rng, line_target, currency=currency[owner])
    kept = _at_least_one(owner, quantity > 0)
    owner, step, price = owner[kept], step[kept], price[kept]
    quantity = np.maximum(quantity[kept], 1)

    favourite = np.where(known, latents.favourite[who], pick(rng, world.CATEGORY_WEIGHTS, size=len(orders)))[owner]
    any_category = pick(rng, world.CATEGORY_WEIGHTS, size=owner.size)
    category = np.where(rng.random(owner.size) < FAVOURITE_SHARE, favourite, any_category)
    value = quantity * price
    margin = np.bincount(owner, value * np.array(world.CATEGORY_MARGIN_RATES)[category], len(orders))
    return Baskets(
        currency=currency,
        amount_minor=np.bincount(owner, value, len(orders)).astype(np.int64),
        margin_minor=np.rint(margin).astype(np.int64),
        lines=Lines(
            start=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(orders)))]).astype(np.int64),
            product=category * len(world.PRICES_EUR) + step,
            quantity=quantity,
            unit_price_minor=price,
        ),
    )


def _split(rng: np.random.Generator, target: Floats) -> tuple[Integers, Floats]:
    """The lines of the baskets: whose they are, and what each should be worth."""
    count = pick(rng, LINES_WEIGHTS, size=target.size) + 1
    owner = np.repeat(np.arange(target.size), count)
    share = rng.gamma(EVENNESS, 1.0, owner.size)
    return owner, target[owner] * share / np.bincount(owner, share, target.size)[owner]


def _priced(rng: np.random.Generator, target: Floats, *, currency: Codes) -> tuple[Integers, Integers, Integers]:
    """Price point, quantity and unit price of each line; the value is expected to be the target.

    A target between two price points takes one of them, the nearer the likelier. Below the cheapest, either the
    cheapest or nothing (quantity 0).
    """
    step, quantity, price = (np.zeros(target.size, np.int64) for _ in range(3))
    pair = rng.random(target.size) < PAIR_SHARE
    chance = rng.random(target.size)
    for code in range(len(world.CURRENCIES)):
        here = currency == code
        ladder = world.prices(code)
        many = np.maximum(1 + pair[here], np.ceil(target[here] / ladder[-1])).astype(np.int64)
        unit = target[here] / many
        below = np.clip(np.searchsorted(ladder, unit, side="right") - 1, 0, ladder.size - 2)
        up = (unit - ladder[below]) / (ladder[below + 1] - ladder[below])
        step[here] = below + (chance[here] < up)
        price[here] = ladder[step[here]]
        quantity[here] = np.where(chance[here] < unit / ladder[0], many, 0)
    return step, quantity, price


def _at_least_one(owner: Integers, kept: Flags) -> Flags:
    """Lines that stay: those kept, and the first line of a basket that would be empty."""
    first = np.diff(owner, prepend=-1) > 0
    empty = np.bincount(owner, kept) == 0
    return np.asarray(kept | (first & empty[owner]))
