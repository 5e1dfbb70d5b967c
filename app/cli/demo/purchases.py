"""When people buy: BG/NBD on the shop's busy clock, with guests beside it and what campaigns induce on top."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Codes, Floats, Integers, Streams
from app.cli.demo.people import Latents
from app.cli.demo.seasons import Season

GUEST = -1
NO_CAMPAIGN = -1


@dataclass(frozen=True, slots=True)
class Orders:
    """Purchases before anything is in the basket; induced_by is the campaign without which there were none."""

    customer: Integers
    day: Floats
    induced_by: Codes

    def __len__(self) -> int:
        return self.customer.size


@dataclass(frozen=True, slots=True)
class Baseline:
    """What happens without any campaign. left: busy time at which each customer left for good; infinite if never."""

    orders: Orders
    left: Floats


def baseline(streams: Streams, latents: Latents, *, season: Season) -> Baseline:
    """First and repeat purchases of every customer, in no order.

    Repeat purchases follow at exponential gaps of busy time; after each of them some leave for good.
    """
    rng = streams.of("purchases")
    buyers = np.flatnonzero(np.isfinite(latents.first_purchase))
    busy = season.busy(latents.first_purchase[buyers])
    left = np.full(latents.created.size, np.inf)
    customers, days = [buyers], [latents.first_purchase[buyers]]
    while buyers.size:
        busy = busy + rng.exponential(1 / latents.purchase_rate[buyers])
        in_time = busy < season.busy_until_end
        buyers, busy = buyers[in_time], busy[in_time]
        customers.append(buyers)
        days.append(season.calendar(busy))
        leaves = rng.random(buyers.size) < latents.dropout[buyers]
        left[buyers[leaves]] = busy[leaves]
        buyers, busy = buyers[~leaves], busy[~leaves]
    return Baseline(orders_of(np.concatenate(customers), np.concatenate(days)), left)


def orders_of(customer: Integers, day: Floats, *, induced_by: int = NO_CAMPAIGN) -> Orders:
    return Orders(customer, day, np.full(customer.size, induced_by, np.int8))


def guests(streams: Streams, season: Season, *, known: int) -> Orders:
    """Purchases without a name, so many that they are the stated share of all."""
    size = round(known * world.GUEST_SHARE / (1 - world.GUEST_SHARE))
    busy = streams.of("guests").random(size) * season.busy_until_end
    return orders_of(np.full(size, GUEST, np.int64), season.calendar(busy))


def together(parts: list[Orders]) -> Orders:
    """All orders by time."""
    day = np.concatenate([part.day for part in parts])
    order = np.argsort(day, kind="stable")
    return Orders(
        np.concatenate([part.customer for part in parts])[order],
        day[order],
        np.concatenate([part.induced_by for part in parts])[order],
    )
