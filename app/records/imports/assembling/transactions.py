"""Rows of a file as transactions to be stored: one row each, or several rows put together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.db.copy import Vocabulary
from app.money import UnknownCurrency, exponent, from_minor
from app.records.imports.assembling.columns import KINDS, NOTHING, Flags
from app.records.imports.assembling.instants import written
from app.records.imports.assembling.lines import Blames, Lines, agreed, blame_cells, earliest
from app.records.imports.assembling.sums import signed_minor
from app.records.imports.definitions import LINE_FIELDS
from app.records.imports.reading.table import Integers
from app.records.intake.amounts import amount_of, amounts_of, column_or_none
from app.records.intake.bulk import Checked
from app.records.intake.outcome import Flaw, Refusal
from app.records.transactions.columns import TransactionColumns
from app.records.transactions.items import ItemColumns

PLACE = "rows"
_NEGATIVE = ("negative_amount", "a purchase must not have a negative amount; leave kind empty, or say refund")
_NO_REFUND = ("refunds_on_purchase", "only a refund can refund a transaction")
_NAMES = ("customer_id", "refunds", "channel", "campaign_id")
_LONGEST_NAME_KEPT = 1_000


def assembled(lines: Lines, source: str) -> Checked[TransactionColumns]:
    """The transactions that can be stored, and those that were refused."""
    blames = Blames(lines)
    columns = _columns(lines, blames)
    kept = _Kept(lines, columns, frozenset(blames.found))
    good = [place for place in range(len(lines)) if place not in blames.found]
    refused = [
        Refusal(each.row, each.reason[0], f"/{PLACE}/{each.row}/{each.field}", each.reason[1], *kept.row(place))
        for place, each in sorted(blames.found.items())
    ]
    return Checked(
        source,
        columns.take(good) if refused else columns,
        lines.index[lines.starts[good]].tolist(),
        refused,
        lambda position: kept.row(good[position])[0],
        lambda position: kept.row(good[position])[1],
        PLACE,
    )


def _columns(lines: Lines, blames: Blames) -> TransactionColumns:
    """Columns in the order of the transactions; those to blame mean nothing."""
    blame_cells(lines, blames, ("transaction_id", *(LINE_FIELDS if lines.has_items else ("amount",))))
    names = {name: _names(lines, name, blames) for name in _NAMES}
    currencies = _currencies(lines, blames)
    signed = _sums(lines, currencies, blames) if lines.has_items else _amounts(lines, currencies, blames)
    refund = _is_refund(lines, signed, blames)
    for place, refunded in enumerate(names["refunds"] or ()):
        if refunded is not None and not refund[place]:
            blames.put(int(lines.starts[place]), "refunds", _NO_REFUND)
    return TransactionColumns(
        transaction_id=[each or "" for each in lines.columns["transaction_id"].take(lines.starts).all_texts()],
        customer_id=names["customer_id"] or [None] * len(lines),
        occurred_at=earliest(lines, "occurred_at", blames),
        kind=[KINDS[each] for each in refund.astype(int).tolist()],
        amount_minor=np.abs(signed),
        currency=currencies,
        margin_minor=_margins(lines, currencies, blames),
        refunds=column_or_none(names["refunds"] or []),
        channel=column_or_none(names["channel"] or []),
        campaign_id=column_or_none(names["campaign_id"] or []),
        items=_items(lines) if lines.has_items else None,
    )


def _names(lines: Lines, name: str, blames: Blames) -> list[str | None] | None:
    column = agreed(lines, name, blames)
    return None if column is None else column.all_texts()


def _currencies(lines: Lines, blames: Blames) -> list[str]:
    """The currency of each transaction; empty where there is none, which is a fault."""
    named = _names(lines, "currency", blames) or [None] * len(lines)
    for place in (place for place, each in enumerate(named) if (each or lines.currency) is None):
        blames.put(int(lines.starts[place]), "currency", ("missing_field", "currency is empty"))
    return [each or lines.currency or "" for each in named]


def _sums(lines: Lines, currencies: list[str], blames: Blames) -> Integers:
    digits = {each: _digits(each) for each in set(currencies)}
    signed, too_large = signed_minor(
        lines.columns["quantity"].values,
        lines.columns["unit_price"].values,
        counts=lines.counts,
        digits=np.array([digits[each] for each in currencies], np.int64),
    )
    for place in too_large:
        blames.put(int(lines.starts[place]), "unit_price", ("amount_too_large", "the sum of the lines is too large"))
    return signed


def _digits(currency: str) -> int:
    try:
        return exponent(currency)
    except UnknownCurrency:
        return 0  # to blame already


def _amounts(lines: Lines, currencies: list[str], blames: Blames) -> Integers:
    column = lines.columns["amount"]
    flaws: list[Flaw] = []
    sizes = amounts_of(
        [(each or "0").strip().removeprefix("-") for each in column.all_texts()],
        currencies,
        flaws,
        if_negative="an amount has one sign at most",
    )
    for flaw in flaws:
        blames.put(flaw.position, flaw.field, (flaw.code, flaw.detail))
    return np.where(column.values == 1, -sizes, sizes)


def _is_refund(lines: Lines, signed: Integers, blames: Blames) -> Flags:
    """What says refund, and what says nothing and is negative."""
    said = agreed(lines, "kind", blames)
    if said is None:
        return signed < 0
    silent = said.codes == NOTHING
    for place in np.flatnonzero(~silent & (said.values == KINDS.index("purchase")) & (signed < 0)).tolist():
        blames.put(int(lines.starts[place]), "amount" if "amount" in lines.columns else "kind", _NEGATIVE)
    refund: Flags = np.where(silent, signed < 0, said.values == KINDS.index("refund"))
    return refund


def _margins(lines: Lines, currencies: list[str], blames: Blames) -> list[int | None] | None:
    texts = _names(lines, "margin", blames)
    if texts is None or column_or_none(texts) is None:
        return None
    flaws: list[Flaw] = []
    margins = [
        None if text is None else amount_of(text.strip(), currencies[place], flaws, position=place, field="margin")
        for place, text in enumerate(texts)
    ]
    for flaw in flaws:
        blames.put(int(lines.starts[flaw.position]), flaw.field, (flaw.code, flaw.detail))
    return margins


def _items(lines: Lines) -> ItemColumns:
    product = lines.columns["product_id"]
    used, place = np.unique(product.codes, return_inverse=True)
    vocabulary = Vocabulary.of([product.texts[code] if code != NOTHING else "" for code in used.tolist()])
    quantity, unit_price = (lines.columns[name].values for name in ("quantity", "unit_price"))
    return ItemColumns(lines.counts, vocabulary, place, quantity, unit_price)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Gives a transaction back in the form in which it could be pushed, so that a refused one can be retried."""

    lines: Lines
    columns: TransactionColumns
    blamed: frozenset[int]

    def row(self, place: int) -> tuple[bytes, str | None]:
        """The transaction as JSON, and its customer."""
        customer_id = self._said("customer_id", place)
        row: dict[str, Any] = {"transaction_id": self._said("transaction_id", place), "customer_id": customer_id}
        micros = int(self.columns.occurred_at[place])
        row["occurred_at"] = written(micros) if micros else self._said("occurred_at", place)
        row["currency"] = self.columns.currency[place] or None
        row |= self._amount(place)
        names = [name for name in ("refunds", "margin", "channel", "campaign_id") if name in self.lines.columns]
        row |= {name: text for name in names if (text := self._said(name, place)) is not None}
        if self.lines.has_items:
            cells = {name: self.lines.columns[name] for name in LINE_FIELDS}
            lines = self.lines.of(place)
            row["items"] = [{name: cell.text(line) for name, cell in cells.items()} for line in lines]
        kept = None if customer_id is None else customer_id[:_LONGEST_NAME_KEPT].replace("\x00", "")
        return orjson.dumps(row), kept

    def _said(self, name: str, place: int) -> str | None:
        """What the first row that says anything says; null when none does, or the file has no such column."""
        column = self.lines.columns.get(name)
        if column is None:
            return None
        return next((text for line in self.lines.of(place) if (text := column.text(line)) is not None), None)

    def _amount(self, place: int) -> dict[str, str | None]:
        if place in self.blamed:
            return {name: self._said(name, place) for name in ("amount", "kind") if name in self.lines.columns}
        amount = from_minor(int(self.columns.amount_minor[place]), self.columns.currency[place])
        return {"amount": amount, "kind": self.columns.kind[place]}
