"""The lines of transactions as columns: half a million of them are stored without an object for each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from app.db.copy import Vocabulary

Integers = npt.NDArray[np.int64]

# Quantities and prices are kept as integers of a millionth; below this they fit into 64 bits.
DECIMALS = 6
LARGEST = Decimal(10) ** 12

Line = tuple[str, int, int]


@dataclass(slots=True)
class ItemColumns:
    """Lines by column: those of the first transaction in their order, then those of the second, and so on.

    counts has an entry for each transaction; product says which of products a line names; quantity and unit_price
    are in millionths.
    """

    counts: Integers
    products: Vocabulary
    product: Integers
    quantity: Integers
    unit_price: Integers
    starts: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.starts = np.cumsum(self.counts) - self.counts

    @property
    def transaction(self) -> Integers:
        """Which transaction each line belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def line(self) -> Integers:
        """The place of each line in its transaction, from 0."""
        transaction = self.transaction
        return np.arange(len(transaction)) - self.starts[transaction]

    def take(self, positions: Sequence[int]) -> "ItemColumns":
        """The lines of the transactions at these positions, in this order."""
        chosen = np.asarray(positions, np.int64)
        counts = self.counts[chosen]
        shift = np.repeat(self.starts[chosen] - (np.cumsum(counts) - counts), counts)
        lines = np.arange(len(shift)) + shift
        return ItemColumns(counts, self.products, self.product[lines], self.quantity[lines], self.unit_price[lines])

    def content(self, position: int) -> tuple[Line, ...]:
        """The lines of one transaction: product, quantity, unit price."""
        lines = slice(self.starts[position], self.starts[position] + self.counts[position])
        products = (self.products.texts[product] for product in self.product[lines].tolist())
        return tuple(zip(products, self.quantity[lines].tolist(), self.unit_price[lines].tolist(), strict=True))


def item_columns(
    counts: Sequence[int], product_ids: Sequence[str], *, quantity: Sequence[int], unit_price: Sequence[int]
) -> ItemColumns:
    """Columns of lines from lists: counts for each transaction, the rest for each line."""
    known: dict[str, int] = {}
    product = [known.setdefault(product_id, len(known)) for product_id in product_ids]
    as_integers = (np.array(values, np.int64) for values in (counts, product, quantity, unit_price))
    found, named, quantities, prices = as_integers
    return ItemColumns(found, Vocabulary.of(list(known)), named, quantities, prices)
