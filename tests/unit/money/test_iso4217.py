"""The currency table against what ISO 4217 publishes."""

import re

import pytest

from app.money import UnknownCurrency, exponent
from app.money.iso4217 import BY_CODE, CURRENT, REFUSED, WITHDRAWN

# ISO 4217 List One of 2026-01-01: every code whose minor unit is not 2. The funds codes among them are refused.
NO_DECIMALS = {
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "UYI",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
}
THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
FOUR_DECIMALS = {"CLF", "UYW"}
# List One: codes with minor unit "N.A.".
NO_MINOR_UNIT = {"XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"}


def test_the_table_holds_all_codes_of_list_one_once():
    current = [row.code for row in (*CURRENT, *REFUSED)]
    assert len(current) == len(set(current)) == 178
    assert len(BY_CODE) == len(current) + len(WITHDRAWN)


def test_exponents_of_current_codes_are_those_of_list_one():
    rows = (*CURRENT, *REFUSED)
    assert {row.code for row in rows if row.exponent == 0} == NO_DECIMALS
    assert {row.code for row in rows if row.exponent == 3} == THREE_DECIMALS
    assert {row.code for row in rows if row.exponent == 4} == FOUR_DECIMALS
    assert {row.code for row in rows if row.exponent is None} == NO_MINOR_UNIT
    assert {row.exponent for row in rows} == {0, 2, 3, 4, None}


def test_every_row_has_the_shape_of_the_standard():
    for row in BY_CODE.values():
        assert re.fullmatch("[A-Z]{3}", row.code)
        assert re.fullmatch("[0-9]{3}", row.numeric)
        assert row.name


def test_no_two_current_currencies_share_a_numeric_code():
    numbers = [row.numeric for row in (*CURRENT, *REFUSED)]
    assert len(numbers) == len(set(numbers))


# CLDR, and with it Babel, gives no digits to these 13, because their small coins are no longer in use.
@pytest.mark.parametrize(
    "code", ["AFN", "ALL", "IQD", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"]
)
def test_small_units_that_nobody_uses_any_more_still_count(code):
    assert exponent(code) == (3 if code == "IQD" else 2)


# Date of withdrawal: ISO 4217 List Three.
@pytest.mark.parametrize(
    ("code", "withdrawn"),
    [("BGN", "2026-01"), ("HRK", "2023-01"), ("SLL", "2023-12"), ("ANG", "2025-03"), ("ZWL", "2024-09")],
)
def test_a_withdrawn_currency_is_marked_and_still_accepted(code, withdrawn):
    assert BY_CODE[code].withdrawn == withdrawn
    assert exponent(code) == 2


@pytest.mark.parametrize("code", ["SLE", "VED", "VES", "ZWG", "XCG", "EUR"])
def test_the_successors_are_current(code):
    assert BY_CODE[code].withdrawn is None
    assert exponent(code) == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [("XXX", "no currency"), ("XTS", "tests"), ("XAU", "precious metal"), ("CLF", "funds"), ("XDR", "unit of account")],
)
def test_a_code_that_nobody_pays_in_is_refused_with_its_reason(code, reason):
    with pytest.raises(UnknownCurrency, match=reason) as refusal:
        exponent(code)
    assert refusal.value.code == "unknown_currency"


@pytest.mark.parametrize("code", ["", "usd", "US", "EURO", "ZZZ", "$", "EUR ", "\ud800" * 1000])
def test_what_is_no_code_is_an_unknown_currency(code):
    with pytest.raises(UnknownCurrency):
        exponent(code)


def test_a_lower_case_code_is_told_that_codes_are_upper_case():
    with pytest.raises(UnknownCurrency, match="upper case"):
        exponent("usd")
