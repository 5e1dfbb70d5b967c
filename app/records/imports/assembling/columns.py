"""One field of many rows: each different text is looked at once, and every row points at what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from app.money import InvalidAmount, UnknownCurrency, exponent, to_minor_array
from app.money.amounts import scaled
from app.records.imports.assembling.instants import Reason, instants_of
from app.records.imports.reading.table import Integers, TextColumn, arrow
from app.records.transactions.items import DECIMALS, LARGEST

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Reader = Callable[[Sequence[str]], tuple[Integers, dict[int, Reason]]]

NOTHING = -1
LONGEST_IDENTIFIER, LONGEST_WORD = 255, 100
KINDS = ("purchase", "refund")


@dataclass(frozen=True, slots=True)
class Column:
    """codes name a text for each row, NOTHING where the cell is empty; meaning and flaws are those of the texts.

    meaning has one entry more than texts, for NOTHING: 0.
    """

    codes: Codes
    texts: Sequence[str]
    meaning: Integers
    flaws: Mapping[int, Reason]

    @property
    def values(self) -> Integers:
        """What each row's text means; 0 where it means nothing."""
        return self.meaning[self.codes]

    @property
    def flawed(self) -> Flags:
        """Which rows have a text that cannot be used."""
        bad = np.zeros(len(self.texts) + 1, np.bool_)
        bad[list(self.flaws)] = True
        return bad[self.codes]

    def text(self, row: int) -> str | None:
        """What stands in a row; null for an empty cell."""
        code = int(self.codes[row])
        return None if code == NOTHING else self.texts[code]

    def all_texts(self) -> list[str | None]:
        """What stands in each row."""
        known: list[str | None] = [*self.texts, None]
        return [known[code] for code in self.codes.tolist()]

    def take(self, rows: Integers | slice) -> "Column":
        return self.with_codes(self.codes[rows])

    def with_codes(self, codes: Codes) -> "Column":
        return replace(self, codes=codes)


def column_of(pieces: Sequence[TextColumn], read: Reader) -> Column:
    """One column from its pieces in their order."""
    whole = arrow.chunked_array(pieces).unify_dictionaries().combine_chunks()
    codes = whole.indices.fill_null(NOTHING).to_numpy().astype(np.int32)
    texts = whole.dictionary.to_pylist()
    if "" in texts:
        codes[codes == texts.index("")] = NOTHING
    meaning, flaws = read(texts)
    return Column(codes, texts, np.append(meaning, 0), flaws)


def reader_of(field: str, zone: ZoneInfo) -> Reader:
    """How the texts of a field of transactions are read."""
    if field in _LENGTHS:
        return lambda texts: words(texts, longest=_LENGTHS[field])
    if field == "occurred_at":
        return lambda texts: instants_of(texts, zone)
    return _READERS[field]


def words(texts: Sequence[str], *, longest: int) -> tuple[Integers, dict[int, Reason]]:
    """Identifiers and names: they stand for themselves."""
    flaws: dict[int, Reason] = {}
    if max(map(len, texts), default=0) > longest:
        flaws |= {
            code: ("invalid_length", f"at most {longest} characters, not {len(text)}")
            for code, text in enumerate(texts)
            if len(text) > longest
        }
    if "\x00" in "".join(texts):
        reason = ("nul_character", "text with a NUL character (U+0000) cannot be stored")
        flaws |= {code: reason for code, text in enumerate(texts) if "\x00" in text}
    return np.zeros(len(texts), np.int64), flaws


def decimals(texts: Sequence[str]) -> tuple[Integers, dict[int, Reason]]:
    """Quantities and prices, in millionths."""
    stripped = [text.strip() for text in texts]
    millionths, unsure = to_minor_array(stripped, DECIMALS)
    flaws: dict[int, Reason] = {}
    for code in np.flatnonzero(unsure).tolist():
        try:
            millionths[code] = scaled(stripped[code], DECIMALS, unit="quantity or price")
        except InvalidAmount as error:
            flaws[code] = ("invalid_number", str(error))
    largest = int(LARGEST) * 10**DECIMALS
    for code in np.flatnonzero((millionths >= largest) | (millionths <= -largest)).tolist():
        flaws[code] = ("invalid_number", f"{stripped[code]} is too large")
    return millionths, flaws


def kinds(texts: Sequence[str]) -> tuple[Integers, dict[int, Reason]]:
    """Purchase or refund, as a place in KINDS."""
    read = [text.strip().lower() for text in texts]
    flaws = {
        code: ("invalid_value", f"{text[:40]!r} is neither purchase nor refund")
        for code, text in enumerate(texts)
        if read[code] not in KINDS and text
    }
    return np.array([KINDS.index(text) if text in KINDS else 0 for text in read], np.int64), flaws


def currencies(texts: Sequence[str]) -> tuple[Integers, dict[int, Reason]]:
    """Currency codes: how many digits each has."""
    digits = np.zeros(len(texts), np.int64)
    flaws: dict[int, Reason] = {}
    for code, text in enumerate(texts):
        try:
            digits[code] = exponent(text)
        except UnknownCurrency as error:
            flaws[code] = (error.code, str(error))
    return digits, {code: reason for code, reason in flaws.items() if texts[code]}


def amounts(texts: Sequence[str]) -> tuple[Integers, dict[int, Reason]]:
    """Amounts are read with their currency, later; here only whether there is a minus before them."""
    return np.array([text.strip().startswith("-") for text in texts], np.int64), {}


_LENGTHS = {
    "transaction_id": LONGEST_IDENTIFIER,
    "customer_id": LONGEST_IDENTIFIER,
    "product_id": LONGEST_IDENTIFIER,
    "refunds": LONGEST_IDENTIFIER,
    "campaign_id": LONGEST_IDENTIFIER,
    "channel": LONGEST_WORD,
}
_READERS: dict[str, Reader] = {
    "amount": amounts,
    "margin": amounts,
    "quantity": decimals,
    "unit_price": decimals,
    "kind": kinds,
    "currency": currencies,
}
