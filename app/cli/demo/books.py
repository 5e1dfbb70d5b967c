"""The shop's books: what it spent, and what its currencies were worth on each business day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Floats, Instants, Streams
from app.cli.demo.seasons import Season

# A random walk in logarithms that is drawn back to its centre: (from, to, centre, daily volatility).
WALKS = (("GBP", "EUR", 1.17, 0.0035), ("EUR", "USD", 1.09, 0.0040))
PULL = 0.02
RATE_DECIMALS = 5
# Rates begin before the shop does, so that its first weekend has one.
RATES_BEFORE_DAYS = 10

# Euros a month for 1,000 customers in an average month.
MEDIA_EUROS = {world.SEARCH: 260.0, world.SOCIAL: 190.0, world.DISPLAY: 110.0}
SHOP_SYSTEM_EUROS, MAILING_TOOL_POUNDS = 340.0, 95.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Exchange rates on business days: one unit of `pairs[p][0]` is worth `rate[p]` units of `pairs[p][1]`."""

    on: Instants
    pairs: tuple[tuple[str, str], ...]
    rate: Floats

    def in_euros(self, season: Season) -> Floats:
        """What a unit of each currency (rows) is worth in euros on each day of the season (columns).

        On days without a rate the last one before counts.
        """
        days = season.first + np.arange(season.days)
        last = np.searchsorted(self.on, days, side="right") - 1
        return np.stack([np.ones(season.days), self.rate[self.pairs.index(("GBP", "EUR"))][last]])


@dataclass(frozen=True, slots=True)
class Cost:
    """One booked cost, for the days from `starts_on` until, and without, `ends_on`; texts as the ledger has them."""

    cost_id: str
    category: str
    amount_minor: int
    currency: str
    starts_on: date
    ends_on: date
    channel: str | None = None
    campaign_id: str | None = None


def rates(streams: Streams, season: Season) -> Rates:
    """Daily rates between the shop's currencies, and into US dollars for who reports in those."""
    days = season.first - RATES_BEFORE_DAYS + np.arange(season.days + RATES_BEFORE_DAYS)
    on = days[np.is_busday(days)]
    walks = {}
    for origin, target, centre, volatility in WALKS:
        walks[origin, target] = centre * np.exp(_walk(streams.of(f"{origin}{target}"), on.size, volatility=volatility))
    walks["GBP", "USD"] = walks["GBP", "EUR"] * walks["EUR", "USD"]
    return Rates(on, tuple(walks), np.asarray(np.round(np.stack(list(walks.values())), RATE_DECIMALS), float))


def _walk(rng: np.random.Generator, size: int, *, volatility: float) -> Floats:
    steps = rng.normal(0.0, volatility, size)
    path, at = np.empty(size), 0.0
    for day, step in enumerate(steps):
        at = at * (1 - PULL) + step
        path[day] = at
    return path


def running_costs(streams: Streams, season: Season, *, customers: int) -> list[Cost]:
    """Media by channel and month, more of it in the season; the shop system; a tool that is paid in pounds."""
    rng = streams.of("costs")
    size = customers / 1_000
    found = []
    for begin, end in months(season):
        share = float(season.clock[end] - season.clock[begin]) / 30.4
        span = (_date(season, begin), _date(season, end))
        month = f"{span[0]:%Y-%m}"
        for channel, euros in MEDIA_EUROS.items():
            name = world.CHANNELS[channel]
            amount = round(100 * euros * size * share * rng.uniform(0.85, 1.15))
            found.append(Cost(f"demo-media-{name}-{month}", "media", amount, "EUR", *span, channel=name))
        found.append(Cost(f"demo-system-{month}", "technology", round(100 * SHOP_SYSTEM_EUROS * size), "EUR", *span))
        found.append(Cost(f"demo-mailing-{month}", "technology", round(100 * MAILING_TOOL_POUNDS * size), "GBP", *span))
    return found


def months(season: Season) -> Iterator[tuple[int, int]]:
    """First day and end of each calendar month, as far as it lies in the season."""
    begin = 0
    for day in range(1, season.days + 1):
        if day == season.days or _date(season, day).day == 1:
            yield begin, day
            begin = day


def total_minor(costs: Sequence[Cost], campaign_id: str) -> int:
    return sum(cost.amount_minor for cost in costs if cost.campaign_id == campaign_id)


def _date(season: Season, day: int) -> date:
    return date.fromisoformat(str(season.first)) + timedelta(days=day)
