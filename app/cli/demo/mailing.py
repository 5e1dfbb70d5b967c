"""The mails of campaigns: sent to the treated, opened by some, clicked by few, and what is credited to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.campaigns import Assignments, Campaign, treated_orders
from app.cli.demo.draws import Codes, Flags, Floats, Integers, Streams
from app.cli.demo.events import EMAIL_CLICK, EMAIL_OPEN, EMAIL_SENT, Part
from app.cli.demo.purchases import NO_CAMPAIGN, Orders
from app.cli.demo.seasons import DAY, Season

SENT_FROM, SENDING_TAKES = 9 * 3_600, 1_800
OPEN_RATE, OPEN_RATE_OF_THE_GONE = 0.40, 0.10
CLICK_PER_OPEN = 0.12
HOURS_TO_OPEN, LONGEST_HOURS_TO_OPEN = 5.0, 72.0
# Of the purchases a campaign induced so many come through a click on its mail.
THROUGH_MAIL_SHARE = 0.7
NOT_CLICKED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Mailing:
    """Mail events, and the campaign each order is credited to because its mail was clicked before."""

    parts: list[Part]
    credited: Codes


def mailing(
    streams: Streams,
    campaigns: Sequence[Campaign],
    *,
    assignments: Assignments,
    orders: Orders,
    left: Floats,
    season: Season,
) -> Mailing:
    """The mails of all campaigns. The last click is credited, as a shop's own tracking would, deserved or not."""
    second = season.seconds(orders.day)
    parts: list[Part] = []
    credited = np.full(len(orders), NO_CAMPAIGN, np.int8)
    for position, campaign in enumerate(campaigns):
        rng = streams.of(f"{campaign.campaign_id} mail")
        chosen, treated = assignments.of(position)
        people = chosen[treated]
        sent = campaign.first_day * DAY + SENT_FROM + rng.integers(0, SENDING_TAKES, people.size)
        alive = left[people] > season.clock[campaign.first_day]
        bought = _first_induced(position, orders, second=second, customers=left.size)[people]
        opened, clicked = _reactions(rng, sent, alive=alive, bought=bought)
        for kind, at in ((EMAIL_SENT, sent), (EMAIL_OPEN, opened), (EMAIL_CLICK, clicked)):
            did = at != NOT_CLICKED
            parts.append(Part(kind, people[did], at[did], channel=world.EMAIL, campaign=position))
        by_customer = np.full(left.size + 1, NOT_CLICKED)
        by_customer[people] = clicked
        during = treated_orders(position, campaign, assignments=assignments, orders=orders, customers=left.size)
        credited[during & (second >= by_customer[orders.customer])] = position
    return Mailing(parts, credited)


def _first_induced(position: int, orders: Orders, *, second: Integers, customers: int) -> Integers:
    """When each customer first bought because of the campaign."""
    first = np.full(customers, NOT_CLICKED)
    rows = orders.induced_by == position
    np.minimum.at(first, orders.customer[rows], second[rows])
    return first


def _reactions(
    rng: np.random.Generator,
    sent: Integers,
    *,
    alive: Flags,
    bought: Integers,
) -> tuple[Integers, Integers]:
    """When each mail was opened and clicked, if ever."""
    size = sent.size
    hours = np.minimum(rng.exponential(HOURS_TO_OPEN, size), LONGEST_HOURS_TO_OPEN)
    opens = rng.random(size) < np.where(alive, OPEN_RATE, OPEN_RATE_OF_THE_GONE)
    opened = np.where(opens, sent + 60 + (hours * 3_600).astype(np.int64), NOT_CLICKED)
    clicks = opens & (rng.random(size) < CLICK_PER_OPEN)
    to_click = rng.integers(10, 300, size)
    clicked = np.where(clicks, np.minimum(opened, NOT_CLICKED - 300) + to_click, NOT_CLICKED)
    # A click that led to a purchase lies between sending and buying.
    room = bought - sent - 600
    through = (bought != NOT_CLICKED) & (room > 0) & (rng.random(size) < THROUGH_MAIL_SHARE)
    leading = sent + 400 + (rng.random(size) * np.where(through, room, 0)).astype(np.int64)
    clicked = np.where(through, np.minimum(leading, clicked), clicked)
    opened = np.where(through, np.minimum(opened, clicked - to_click), opened)
    return opened, clicked
