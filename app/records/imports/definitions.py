"""What can be imported: for each kind of record the fields that a column of a file may be."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from app.records.customers.service import CUSTOMER_KIND
from app.records.events.service import EVENT_KIND
from app.records.intake.bulk import Kind
from app.records.transactions.service import TRANSACTION_KIND


class Meaning(Enum):
    """How the text in a cell is read."""

    TEXT = "text"
    # Free values keep the type that the file gives them; CSV has only text.
    ANY = "any"
    INSTANT = "instant"
    NUMBER = "number"
    FLAG = "flag"
    # Whole JSON objects and lists, which only NDJSON and Parquet have.
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Importable:
    """One kind of record: its fields in the order they are named to people, and names under which any field may be."""

    kind: Kind[Any, Any]
    identifier: str
    required: tuple[str, ...]
    fields: dict[str, Meaning]
    open: tuple[str, ...] = ()

    def meaning(self, field: str) -> Meaning | None:
        """How a field is read; null when this kind has no such field."""
        known = self.fields.get(field)
        prefix, _, name = field.partition(".")
        return Meaning.ANY if known is None and prefix in self.open and name else known

    def described(self) -> str:
        """The fields, for a person who named another."""
        return ", ".join([*self.fields, *(f"{prefix}.<name>" for prefix in self.open)])


JOB_KIND = "import"
LINE_FIELDS = ("product_id", "quantity", "unit_price")
ITEMS = "items"

IMPORTABLES = {
    "customers": Importable(
        CUSTOMER_KIND,
        "customer_id",
        ("customer_id",),
        {
            "customer_id": Meaning.TEXT,
            "created_at": Meaning.INSTANT,
            "updated_at": Meaning.INSTANT,
            "consent.profiling": Meaning.FLAG,
            "consent.marketing": Meaning.FLAG,
            "consent": Meaning.DOCUMENT,
            "attributes": Meaning.DOCUMENT,
        },
        ("attributes",),
    ),
    "transactions": Importable(
        TRANSACTION_KIND,
        "transaction_id",
        ("transaction_id", "occurred_at"),
        {
            "transaction_id": Meaning.TEXT,
            "customer_id": Meaning.TEXT,
            "occurred_at": Meaning.INSTANT,
            "amount": Meaning.TEXT,
            "currency": Meaning.TEXT,
            "kind": Meaning.TEXT,
            "refunds": Meaning.TEXT,
            "margin": Meaning.TEXT,
            "channel": Meaning.TEXT,
            "campaign_id": Meaning.TEXT,
            "product_id": Meaning.TEXT,
            "quantity": Meaning.TEXT,
            "unit_price": Meaning.TEXT,
            ITEMS: Meaning.DOCUMENT,
        },
    ),
    "events": Importable(
        EVENT_KIND,
        "event_id",
        ("event_id", "customer_id", "type", "occurred_at"),
        {
            "event_id": Meaning.TEXT,
            "customer_id": Meaning.TEXT,
            "type": Meaning.TEXT,
            "occurred_at": Meaning.INSTANT,
            "channel": Meaning.TEXT,
            "campaign_id": Meaning.TEXT,
            "value": Meaning.NUMBER,
            # The answers of surveys are counted, so they are numbers even where a file has only text.
            "properties.csat": Meaning.NUMBER,
            "properties.nps": Meaning.NUMBER,
            "properties": Meaning.DOCUMENT,
        },
        ("properties",),
    ),
}
