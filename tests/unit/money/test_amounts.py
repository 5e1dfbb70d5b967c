"""Amounts become minor units exactly or not at all."""

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.money import (
    AmountTooLarge,
    InexactAmount,
    InvalidAmount,
    UnknownCurrency,
    exponent,
    from_minor,
    line_total_minor,
    to_minor,
)
from app.money.iso4217 import CURRENT, WITHDRAWN

INT64 = st.integers(-(2**63), 2**63 - 1)
CURRENCIES = st.sampled_from([row.code for row in (*CURRENT, *WITHDRAWN)])


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "USD", 1234),
        ("-0.05", "USD", -5),
        ("+7", "USD", 700),
        ("0012.3", "USD", 1230),
        ("12.3400", "USD", 1234),
        ("-0.00", "USD", 0),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        ("1.234", "KWD", 1234),
        ("92233720368547758.07", "USD", 2**63 - 1),
        ("-92233720368547758.08", "USD", -(2**63)),
        ("0." + "0" * 38, "USD", 0),
        (12, "USD", 1200),
        (-(2**63), "JPY", -(2**63)),
        (12.34, "USD", 1234),
        (-0.0, "USD", 0),
        (1e15, "USD", 10**17),
        (1e16, "JPY", 10**16),
        (1200.0, "JPY", 1200),
        (Decimal("12.340"), "USD", 1234),
        (Decimal("1E+3"), "JPY", 1000),
        (Decimal("0E+999999"), "USD", 0),
        (Decimal("-0"), "USD", 0),
    ],
)
def test_an_exact_amount_becomes_minor_units(amount, currency, minor):
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "12.", ".5", ".", "+", "-", "--1", "+-1", "1-", "1.2.3", "1,234", "1_000", "1e3", "1E3", "0x10",
        " 12", "12 ", "12\n", "1\x00", "\u0661\u0662", "\uff11", "12\u00a0", "NaN", "nan", "Infinity", "-inf",
        "\ud800", "$12", "12.34 USD", "1" * 41,
    ],
)  # fmt: skip
def test_text_that_is_no_plain_decimal_is_refused(text):
    with pytest.raises(InvalidAmount) as refusal:
        to_minor(text, "USD")
    assert refusal.value.code == "invalid_amount"


@pytest.mark.parametrize("amount", [True, False, None, [], {}, b"12", 1 + 2j, object(), [10**9999]], ids=type)
def test_what_is_no_number_is_refused(amount):
    with pytest.raises(InvalidAmount) as refusal:
        to_minor(amount, "USD")
    assert refusal.value.code == "invalid_amount"


@pytest.mark.parametrize(
    "amount", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]
)
def test_nan_and_infinity_are_refused(amount):
    with pytest.raises(InvalidAmount) as refusal:
        to_minor(amount, "USD")
    assert refusal.value.code == "invalid_amount"


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("12.345", "USD"),
        ("0.5", "JPY"),
        ("1.2345", "KWD"),
        (12.345, "USD"),
        (0.1 + 0.2, "USD"),
        (5e-324, "USD"),
        (Decimal("0.001"), "USD"),
        (Decimal("1E-999999"), "USD"),
        (Decimal("1." + "0" * 500 + "1"), "USD"),
    ],
)
def test_more_digits_than_the_currency_has_are_refused(amount, currency):
    with pytest.raises(InexactAmount) as refusal:
        to_minor(amount, currency)
    assert refusal.value.code == "inexact_amount"


@pytest.mark.parametrize(
    "amount",
    [
        "92233720368547758.08",
        "-92233720368547758.09",
        "9" * 40,
        2**63,
        10**5000,
        -(10**5000),
        1e300,
        Decimal("1E+999999"),
        Decimal("9" * 20),
    ],
    ids=lambda amount: f"{type(amount).__name__}",
)
def test_more_than_64_bits_of_minor_units_are_refused(amount):
    with pytest.raises(AmountTooLarge) as refusal:
        to_minor(amount, "USD")
    assert refusal.value.code == "amount_too_large"


def test_every_refusal_is_a_value_error_and_shows_no_more_than_a_line():
    for amount, currency in [("9" * 5000, "USD"), ("1", "X" * 5000), (Decimal("1." + "1" * 5000), "USD")]:
        with pytest.raises(InvalidAmount) as refusal:
            to_minor(amount, currency)
        assert isinstance(refusal.value, ValueError)
        assert len(str(refusal.value)) < 120


def test_an_unknown_currency_is_refused_before_the_amount_is_read():
    with pytest.raises(UnknownCurrency):
        to_minor("not a number", "ZZZ")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1234, "USD", "12.34"),
        (-5, "USD", "-0.05"),
        (1200, "JPY", "1200"),
        (0, "KWD", "0.000"),
        (-1234, "KWD", "-1.234"),
    ],
)
def test_minor_units_are_written_as_decimal_text(minor, currency, text):
    assert from_minor(minor, currency) == text


@given(INT64, CURRENCIES)
def test_what_was_written_reads_back_as_the_same_amount(minor, currency):
    assert to_minor(from_minor(minor, currency), currency) == minor


# The oracle is rational arithmetic: exact means that amount x 10**exponent is a whole number.
@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12), CURRENCIES)
def test_an_amount_is_accepted_exactly_when_it_is_whole_in_minor_units(amount, currency):
    wanted = Fraction(amount) * 10 ** exponent(currency)
    for spelling in (amount, f"{amount:f}"):
        if wanted.denominator == 1:
            assert to_minor(spelling, currency) == wanted
        else:
            with pytest.raises(InexactAmount):
                to_minor(spelling, currency)


@given(st.integers(-(10**15), 10**15), CURRENCIES)
def test_a_float_stands_for_its_shortest_decimal(minor, currency):
    # Up to 15 digits a decimal survives the way through a float (IEEE 754, DBL_DIG).
    assert to_minor(float(from_minor(minor, currency)), currency) == minor


@pytest.mark.parametrize(
    ("lines", "currency", "total"),
    [
        ([], "USD", 0),
        ([(2, "1.50"), (1, "0.25")], "USD", 325),
        ([(1, "0.005")], "USD", 1),
        ([(-1, "0.005")], "USD", -1),
        ([(1, "0.004999")], "USD", 0),
        ([(1, "0.5")], "JPY", 1),
        ([(-1, "0.5")], "JPY", -1),
        ([(3, "0.333333")], "USD", 100),
        ([(1, "0.004"), (1, "0.004")], "USD", 1),
        ([(10, 0.1), (1, Decimal("-0.5"))], "USD", 50),
        ([(1, "0.0005")], "KWD", 1),
        # Online Retail, the largest line there: 80995 x 2.08 = 168469.60.
        ([(80995, "2.08")], "GBP", 16846960),
    ],
)
def test_lines_are_added_exactly_and_rounded_once(lines, currency, total):
    assert line_total_minor(lines, currency) == total


PRICES = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**6), max_value=10**6)


# The oracle is decimal's own ROUND_HALF_UP, which rounds a half away from zero.
@given(st.lists(st.tuples(st.integers(-(10**5), 10**5), PRICES), max_size=20), CURRENCIES)
def test_the_total_agrees_with_decimal_round_half_up(lines, currency):
    exact = sum((quantity * price for quantity, price in lines), Decimal(0))
    rounded = exact.quantize(Decimal(1).scaleb(-exponent(currency)), rounding=ROUND_HALF_UP)
    assert line_total_minor(lines, currency) == rounded.scaleb(exponent(currency))


def test_a_unit_price_with_more_than_six_decimals_is_inexact():
    with pytest.raises(InexactAmount, match="unit price"):
        line_total_minor([(1, "0.0000001")], "USD")


@pytest.mark.parametrize("quantity", [True, 1.5, "2", None])
def test_a_quantity_is_a_whole_number(quantity):
    with pytest.raises(InvalidAmount, match="quantity"):
        line_total_minor([(quantity, "1")], "USD")


def test_a_total_past_64_bits_is_too_large():
    with pytest.raises(AmountTooLarge):
        line_total_minor([(10**12, "9000000000")], "USD")
