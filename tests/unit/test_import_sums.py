"""Sums of lines against exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.records.imports.assembling.sums import signed_minor

MILLIONTHS = st.integers(-(10**18) + 1, 10**18 - 1) | st.integers(-3 * 10**6, 3 * 10**6)
LINES = st.lists(st.lists(st.tuples(MILLIONTHS, MILLIONTHS), min_size=1, max_size=4), min_size=1, max_size=4)


def rounded(amount: Fraction) -> int:
    """Half away from zero, by the definition."""
    whole, rest = divmod(abs(amount), 1)
    size = int(whole) + (rest >= Fraction(1, 2))
    return size if amount >= 0 else -size


@given(LINES, st.lists(st.sampled_from([0, 2, 3, 4]), min_size=4, max_size=4))
def test_sums_are_exact_and_rounded_half_away_from_zero(
    transactions: list[list[tuple[int, int]]], digits: list[int]
) -> None:
    quantity, price = (np.array([line[i] for lines in transactions for line in lines], np.int64) for i in (0, 1))
    found, too_large = signed_minor(
        quantity,
        price,
        counts=np.array([len(lines) for lines in transactions]),
        digits=np.array(digits[: len(transactions)], np.int64),
    )
    for place, lines in enumerate(transactions):
        exact = sum(Fraction(q, 10**6) * Fraction(p, 10**6) for q, p in lines) * 10 ** digits[place]
        if abs(rounded(exact)) < 2**63:
            assert (int(found[place]), place in too_large) == (rounded(exact), False)
        else:
            assert place in too_large
