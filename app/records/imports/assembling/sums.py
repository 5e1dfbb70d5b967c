"""The amount of a transaction from its lines: exact sums of quantity x unit price, rounded once."""

import numpy as np

from app.records.imports.reading.table import Integers
from app.records.transactions.items import DECIMALS

MILLION = 10**DECIMALS
# Below this many minor units even a float's own error cannot hide that 64 bits overflow.
SAFE = 2.0**62


def signed_minor(
    quantity: Integers, unit_price: Integers, *, counts: Integers, digits: Integers
) -> tuple[Integers, list[int]]:
    """Minor units of each transaction, half rounded away from zero, and which transactions are too large for 64 bits.

    Quantities and prices are in millionths, of counts[0] lines of the first transaction, then counts[1] of the next,
    at least one each; digits are those of each transaction's currency.
    """
    whole = not (quantity % MILLION).any()
    scale = DECIMALS if whole else 2 * DECIMALS
    quantity = quantity // MILLION if whole else quantity
    starts = np.cumsum(counts) - counts
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(quantity * unit_price, starts)
    sizes = np.add.reduceat(np.abs(quantity.astype(np.float64) * unit_price), starts)
    step = 10 ** (scale - digits)
    minor = np.sign(sums) * ((np.abs(sums) + step // 2) // step)
    too_large: list[int] = []
    for each in np.flatnonzero(sizes >= SAFE).tolist():
        lines = slice(starts[each], starts[each] + counts[each])
        products = zip(quantity[lines].tolist(), unit_price[lines].tolist(), strict=True)
        exact = sum(amount * price for amount, price in products)
        rounded = (abs(exact) + int(step[each]) // 2) // int(step[each])
        if rounded < 2**63:
            minor[each] = rounded if exact >= 0 else -rounded
        else:
            minor[each] = 0
            too_large.append(each)
    return minor, too_large
