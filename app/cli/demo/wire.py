"""The shop's rows in the form the HTTP API takes, in the order they are to be sent."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

from app.cli.demo import catalogue as world
from app.cli.demo.draws import Instants
from app.cli.demo.events import CSAT, KINDS, NPS, PAGE_VIEW, SUPPORT, TOPICS
from app.cli.demo.purchases import GUEST
from app.cli.demo.shop import Shop

Row = dict[str, Any]
SURVEYS = {CSAT: "csat", NPS: "nps"}


@dataclass(frozen=True, slots=True)
class Shipment:
    """Rows of one kind: which call takes them, and under which name."""

    name: str
    method: str
    path: str
    size: int
    rows: Iterable[Row]
    envelope: Row

    def bodies(self, most: int) -> Iterator[tuple[int, Row]]:
        """Bodies of at most so many rows, each with its number of rows."""
        rows = iter(self.rows)
        while batch := list(islice(rows, most)):
            yield len(batch), {self.name: batch, **self.envelope}


def shipments(shop: Shop) -> list[Shipment]:
    """Everything the API takes of the shop; what refers to something comes after it."""
    named = {"source": world.SOURCE}
    return [
        Shipment("rates", "PUT", "/v1/exchange-rates", shop.rates.rate.size, rates(shop), {}),
        Shipment("customers", "POST", "/v1/customers", len(shop.customers), customers(shop), {}),
        Shipment("costs", "POST", "/v1/costs", len(shop.costs), costs(shop), {}),
        Shipment("transactions", "POST", "/v1/transactions", len(shop.transactions), transactions(shop), named),
        Shipment("events", "POST", "/v1/events", len(shop.events), events(shop), named),
    ]


def customer_id(position: int) -> str:
    return f"demo-c{position + 1:06d}"


def purchase_id(position: int) -> str:
    return f"demo-o{position + 1:07d}"


def customers(shop: Shop) -> Iterator[Row]:
    who = shop.customers
    columns = (who.country, who.age_band, who.acquisition_channel, who.profiling_consent, who.marketing_consent)
    rows = zip(_texts(who.created_at), *(column.tolist() for column in columns), strict=True)
    for position, (created, country, age_band, channel, profiling, marketing) in enumerate(rows):
        yield {
            "customer_id": customer_id(position),
            "attributes": {
                "country": world.COUNTRIES[country],
                "age_band": world.AGE_BANDS[age_band],
                "acquisition_channel": world.ACQUISITION_CHANNELS[channel],
                "simulated": True,
            },
            "consent": {"profiling": profiling, "marketing": marketing},
            "created_at": created,
        }


def transactions(shop: Shop) -> Iterator[Row]:
    all_of = shop.transactions
    columns = (
        all_of.customer,
        all_of.refunds,
        all_of.amount_minor,
        all_of.margin_minor,
        all_of.currency,
        all_of.channel,
        all_of.campaign,
    )
    rows = zip(_texts(all_of.occurred_at), *(column.tolist() for column in columns), strict=True)
    items = _items(shop)
    for position, (occurred_at, who, of, amount, margin, currency, channel, campaign) in enumerate(rows):
        row: Row = {
            "transaction_id": purchase_id(position) if of < 0 else f"demo-r{position - all_of.purchases + 1:07d}",
            "customer_id": None if who == GUEST else customer_id(who),
            "occurred_at": occurred_at,
            "amount": _amount(amount),
            "currency": world.CURRENCIES[currency],
            "margin": _amount(margin),
            "channel": world.CHANNELS[channel],
        }
        row |= {"items": next(items)} if of < 0 else {"kind": "refund", "refunds": purchase_id(of)}
        if campaign >= 0:
            row["campaign_id"] = shop.campaigns[campaign].campaign_id
        yield row


def _items(shop: Shop) -> Iterator[list[Row]]:
    """The lines of each purchase, in their order."""
    lines = shop.transactions.lines
    every = [
        {"product_id": world.PRODUCTS[product], "quantity": quantity, "unit_price": _amount(price)}
        for product, quantity, price in zip(
            lines.product.tolist(), lines.quantity.tolist(), lines.unit_price_minor.tolist(), strict=True
        )
    ]
    for begin, end in pairwise(lines.start.tolist()):
        yield every[begin:end]


def events(shop: Shop) -> Iterator[Row]:
    all_of = shop.events
    columns = (all_of.kind, all_of.customer, all_of.channel, all_of.campaign, all_of.detail)
    rows = zip(_texts(all_of.occurred_at), *(column.tolist() for column in columns), strict=True)
    for position, (occurred_at, kind, who, channel, campaign, detail) in enumerate(rows):
        row: Row = {
            "event_id": f"demo-e{position + 1:07d}",
            "customer_id": customer_id(who),
            "type": "survey" if kind in SURVEYS else KINDS[kind],
            "occurred_at": occurred_at,
        }
        if channel >= 0:
            row["channel"] = world.CHANNELS[channel]
        if campaign >= 0:
            row["campaign_id"] = shop.campaigns[campaign].campaign_id
        if properties := _properties(kind, detail):
            row["properties"] = properties
        yield row


def _properties(kind: int, detail: int) -> Row:
    if kind in SURVEYS:
        return {SURVEYS[kind]: detail}
    if kind == PAGE_VIEW:
        return {"product_id": world.PRODUCTS[detail]}
    return {"topic": TOPICS[detail]} if kind == SUPPORT else {}


def costs(shop: Shop) -> Iterator[Row]:
    for cost in shop.costs:
        row: Row = {
            "cost_id": cost.cost_id,
            "category": cost.category,
            "amount": _amount(cost.amount_minor),
            "currency": cost.currency,
            "from": cost.starts_on.isoformat(),
            "to": cost.ends_on.isoformat(),
        }
        optional = {"channel": cost.channel, "campaign_id": cost.campaign_id}
        yield row | {name: value for name, value in optional.items() if value is not None}


def rates(shop: Shop) -> Iterator[Row]:
    for (origin, target), series in zip(shop.rates.pairs, shop.rates.rate, strict=True):
        for on, rate in zip(shop.rates.on, series, strict=True):
            yield {"on": str(on), "from": origin, "to": target, "rate": f"{rate:.5f}"}


def _texts(instants: Instants) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(instants, unit="s")]


def _amount(minor: int) -> str:
    units, rest = divmod(minor, 100)
    return f"{units}.{rest:02d}"
