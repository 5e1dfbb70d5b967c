"""Purchases and refunds as columns."""

from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.baskets import Baskets, Lines
from app.cli.demo.draws import Codes, Flags, Instants, Integers, Streams, pick
from app.cli.demo.people import Customers
from app.cli.demo.purchases import GUEST, NO_CAMPAIGN
from app.cli.demo.refunds import Refunds
from app.cli.demo.seasons import Season

# Who usually buys in one place sometimes buys in another.
USUAL_CHANNEL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Transactions:
    """First all purchases by time, then all refunds by time.

    customer: position among the customers, -1 for guests. refunds: position of the purchase that a refund gives
    back, -1 for purchases. campaign: the campaign whose mail was clicked before, -1 for none. Amounts and margins are
    minor units of the currency and never negative, refunds included. `lines` are those of the purchases.
    """

    customer: Integers
    occurred_at: Instants
    refunds: Integers
    currency: Codes
    amount_minor: Integers
    margin_minor: Integers
    channel: Codes
    campaign: Codes
    lines: Lines

    def __len__(self) -> int:
        return self.customer.size

    @property
    def purchases(self) -> int:
        """How many rows are purchases: the first so many."""
        return self.lines.start.size - 1

    @property
    def is_refund(self) -> Flags:
        return self.refunds >= 0


def sales_channels(streams: Streams, customer: Integers, *, customers: Customers, induced: Flags) -> Codes:
    """Where each purchase was made; what a mail induces is bought online."""
    rng = streams.of("sales channels")
    anywhere = pick(rng, world.SALES_CHANNEL_WEIGHTS, size=customer.size)
    usual = (customer != GUEST) & (rng.random(customer.size) < USUAL_CHANNEL_SHARE)
    position = np.where(usual, customers.sales_channel[customer], anywhere)
    channel = np.array(world.SALES_CHANNELS, np.int8)[position]
    return np.where(induced & (channel == world.STORE), np.int8(world.WEB), channel)


@dataclass(frozen=True, slots=True)
class Purchases:
    """Purchases by time, before anything comes back; second: since the shop's first day."""

    customer: Integers
    second: Integers
    baskets: Baskets
    channel: Codes
    campaign: Codes


def transactions(bought: Purchases, returned: Refunds, *, season: Season) -> Transactions:
    """Put purchases and their refunds into one list of columns."""
    back, baskets = returned.purchase, bought.baskets

    def share_of(minor: Integers) -> Integers:
        return np.floor(minor[back] * returned.share).astype(np.int64)

    return Transactions(
        customer=np.concatenate([bought.customer, bought.customer[back]]),
        occurred_at=season.instants(np.concatenate([bought.second, returned.second])),
        refunds=np.concatenate([np.full(bought.customer.size, -1), back]),
        currency=np.concatenate([baskets.currency, baskets.currency[back]]),
        amount_minor=np.concatenate([baskets.amount_minor, share_of(baskets.amount_minor)]),
        margin_minor=np.concatenate([baskets.margin_minor, share_of(baskets.margin_minor)]),
        channel=np.concatenate([bought.channel, bought.channel[back]]),
        campaign=np.concatenate([bought.campaign, np.full(back.size, NO_CAMPAIGN, np.int8)]),
        lines=baskets.lines,
    )
