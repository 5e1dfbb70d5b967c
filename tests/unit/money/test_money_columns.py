"""The bulk twin agrees with `to_minor` on every row that it does not leave over."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.money import InvalidAmount, to_minor, to_minor_array

BY_EXPONENT = {0: "JPY", 2: "USD", 3: "KWD"}
EXPONENTS = st.sampled_from(sorted(BY_EXPONENT))

PLAIN_TEXT = st.from_regex(r"\A[+-]?[0-9]{1,12}(\.[0-9]{1,6})?\Z")
ODD_TEXT = st.text(alphabet="0123456789.+-\n e_\u0661", max_size=18)
FLOATS = st.floats() | st.integers(-(10**17), 10**17).map(lambda cents: cents / 100)
INTEGERS = st.integers(-(2**70), 2**70) | st.integers(-1000, 1000)
DECIMALS = st.decimals()
ANYTHING = PLAIN_TEXT | ODD_TEXT | FLOATS | INTEGERS | DECIMALS | st.booleans() | st.none()
COLUMNS = st.one_of(
    *(st.lists(rows, max_size=8) for rows in (PLAIN_TEXT, ODD_TEXT, FLOATS, INTEGERS, DECIMALS, ANYTHING))
)


@settings(max_examples=500)
@given(COLUMNS, EXPONENTS)
@example(["1.", "2"], 2)
@example([".5"], 2)
@example(["-.5"], 2)
@example(["1\n2", ""], 2)
@example(["", "1\n2"], 0)
@example(["8.050000000000001"], 2)
@example([90071992547409.93, 90071992547409.92], 2)
@example([0.29, 1.15, 4.35, 1.005], 2)
@example([2**53 + 1, 2**63 - 1, 2**64], 0)
@example([1.0, True], 0)
@example([math.nan, math.inf, -0.0, 5e-324, 1e308], 2)
def test_rows_that_are_not_left_over_agree_with_the_scalar(amounts, exponent):
    minor, left_over = to_minor_array(amounts, exponent)
    assert (minor.dtype, left_over.dtype) == (np.int64, np.bool_)
    assert len(minor) == len(left_over) == len(amounts)
    for amount, value, left in zip(amounts, minor.tolist(), left_over.tolist(), strict=True):
        if left:
            assert value == 0
        else:
            assert value == to_minor(amount, BY_EXPONENT[exponent])


@given(st.lists(st.integers(-(10**14), 10**14), min_size=1), EXPONENTS)
def test_everyday_columns_leave_no_row_over(cents, exponent):
    currency_has = 10**exponent
    for column in (
        [f"{value / currency_has:.{exponent}f}" for value in cents],
        [value / currency_has for value in cents],
        [Decimal(value).scaleb(-exponent) for value in cents],
    ):
        minor, left_over = to_minor_array(column, exponent)
        assert not left_over.any()
        assert minor.tolist() == cents


def test_integers_and_floats_may_share_a_column():
    minor, left_over = to_minor_array([12, 12.5, -3], 2)
    assert minor.tolist() == [1200, 1250, -300]
    assert not left_over.any()


def test_one_bad_row_does_not_spoil_the_others():
    minor, left_over = to_minor_array(["1.00", "1,00", "2.00"], 2)
    assert minor.tolist() == [100, 0, 200]
    assert left_over.tolist() == [False, True, False]
    with pytest.raises(InvalidAmount):
        to_minor("1,00", "USD")


def test_no_rows_give_empty_arrays():
    minor, left_over = to_minor_array([], 2)
    assert minor.size == left_over.size == 0
