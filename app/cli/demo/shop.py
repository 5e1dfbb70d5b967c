"""The simulated shop as a whole: a pure function of its seed, size and dates."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from typing import Any

import numpy as np

from app.cli.demo import baskets, books, campaigns, mailing, people, purchases, refunds
from app.cli.demo.baskets import Baskets
from app.cli.demo.behaviour import behaviour, known_of
from app.cli.demo.books import Cost, Rates
from app.cli.demo.campaigns import Assignments, Campaign, campaign_costs
from app.cli.demo.draws import Codes, Floats, Streams
from app.cli.demo.events import Events, gathered
from app.cli.demo.people import Customers, Latents
from app.cli.demo.purchases import NO_CAMPAIGN, Orders
from app.cli.demo.seasons import DAY, Season, season
from app.cli.demo.transactions import Purchases, Transactions, sales_channels, transactions
from app.cli.demo.truth import Past, Truth, World, truth

DEFAULT_SEED, DEFAULT_CUSTOMERS = 7, 4_000
DEFAULT_START, DEFAULT_END = date(2024, 11, 1), date(2026, 11, 1)
FEWEST_DAYS = 30


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop with its history and the truth behind it; rows of everything stand in the order of time.

    `latents` and `left` (busy time at which each customer left for good, infinite if never) are the truth about
    customers, `truths` that about campaigns, in their order.
    """

    seed: int
    season: Season
    customers: Customers
    transactions: Transactions
    events: Events
    campaigns: tuple[Campaign, ...]
    assignments: Assignments
    costs: tuple[Cost, ...]
    rates: Rates
    latents: Latents
    left: Floats
    truths: tuple[Truth, ...]

    @property
    def start(self) -> date:
        return date.fromisoformat(str(self.season.first))

    @property
    def end(self) -> date:
        return date.fromisoformat(str(self.season.first + self.season.days))

    def digest(self) -> str:
        """A fingerprint of every value of every column."""
        found = hashlib.sha256()
        for piece in _bytes_of(self):
            found.update(piece)
        return found.hexdigest()


def simulate(
    seed: int = DEFAULT_SEED,
    *,
    customers: int = DEFAULT_CUSTOMERS,
    start: date = DEFAULT_START,
    end: date = DEFAULT_END,
) -> Shop:
    """Run the shop from `start` until, and without, `end`. The same arguments give the same bytes."""
    if customers < 1 or (end - start).days < FEWEST_DAYS:
        raise ValueError(f"a shop needs a customer and {FEWEST_DAYS} days")
    streams, calendar = Streams(seed), season(start, end)
    persons, latents = people.people(streams, customers, season=calendar)
    base = purchases.baseline(streams, latents, season=calendar)
    found, assignments, induced = campaigns.run(streams, persons, latents=latents, base=base, season=calendar)
    guests = purchases.guests(streams, calendar, known=len(base.orders) + len(induced))
    orders = purchases.together([base.orders, induced, guests])
    mails = mailing.mailing(streams, found, assignments=assignments, orders=orders, left=base.left, season=calendar)
    factor = campaigns.spend_factor(found, assignments, orders=orders, customers=customers)
    filled = baskets.fill(streams, orders, customers=persons, latents=latents, factor=factor)
    bought = _bought(streams, persons, orders=orders, filled=filled, credited=mails.credited, season=calendar)
    rows = transactions(bought, refunds.refunds(streams, bought.second, season=calendar), season=calendar)
    deeds = behaviour(streams, known_of(rows, persons, latents=latents, left=base.left, season=calendar))
    costs = (*books.running_costs(streams, calendar, customers=customers), *campaign_costs(found, assignments))
    rates = books.rates(streams, calendar)
    past = Past(bought.customer, bought.second // DAY, filled.currency, filled.amount_minor)
    world = World(calendar, persons, latents, base.left, rates, past)
    return Shop(
        seed=seed,
        season=calendar,
        customers=persons,
        transactions=rows,
        events=gathered([*mails.parts, *deeds], calendar),
        campaigns=tuple(found),
        assignments=assignments,
        costs=costs,
        rates=rates,
        latents=latents,
        left=base.left,
        truths=tuple(
            truth(world, each, assignments=assignments, position=p, costs=costs) for p, each in enumerate(found)
        ),
    )


def _bought(
    streams: Streams,
    persons: Customers,
    *,
    orders: Orders,
    filled: Baskets,
    credited: Codes,
    season: Season,
) -> Purchases:
    caused = orders.induced_by != NO_CAMPAIGN
    channel = sales_channels(streams, orders.customer, customers=persons, induced=caused)
    return Purchases(orders.customer, season.seconds(orders.day), filled, channel, credited)


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value):
        for field in fields(value):
            yield field.name.encode()
            yield from _bytes_of(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _bytes_of(item)
    else:
        yield repr(value).encode()
