"""What is worked out for one row or customer by itself, against the way that many go."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.arrays import FEW, doubles, timestamps
from app.modelling.segments.rfm import FEATURES, assigner
from app.records.intake.amounts import FEW as FEW_AMOUNTS
from app.records.intake.amounts import amounts_of
from app.records.intake.outcome import Flaw

EDGES = {name: [1.0, 2.0, 3.5, 7.0] for name in FEATURES}
RFM = assigner({"fitted": {"edges": EDGES}}, UUID(int=0))
VALUE = st.none() | st.integers(0, 8) | st.sampled_from([0.5, 1.0, 3.4999, 3.5, 100.0])


@given(st.tuples(VALUE, VALUE, VALUE))
def test_rfm_says_the_same_of_a_customer_alone(customer: tuple[float | None, ...]) -> None:
    values = dict(zip(FEATURES, customer, strict=True))
    columns = {name: np.array([value], np.float64) for name, value in values.items()}
    among = RFM.assign(columns)
    assert RFM.alone is not None
    assert RFM.alone(values) == (among.outcomes[among.codes[0]] if among.positions.size else None)


def minor(amounts: list[Any], currencies: list[str]) -> tuple[list[int], list[Flaw]]:
    flaws: list[Flaw] = []
    found = amounts_of(amounts, currencies, flaws, if_negative="below 0").tolist()
    return found, sorted(flaws, key=lambda flaw: (flaw.position, flaw.code))


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("12.34", "EUR"), ("-0.01", "EUR"), ("1.005", "EUR"), (12, "JPY"), (0.1, "EUR"), ("1e3", "EUR"), (True, "EUR"),
     ("99999999999999999.99", "EUR"), ("1.00", "ZZZ"), ("-9999999999999999999", "EUR")],
)  # fmt: skip
def test_an_amount_alone_is_read_as_among_many(amount: Any, currency: str) -> None:
    times = FEW_AMOUNTS + 1
    alone, flaws = minor([amount], [currency])
    among, all_flaws = minor([amount] * times, [currency] * times)
    assert among == alone * times
    assert [(flaw.code, flaw.detail) for flaw in all_flaws] == [(flaw.code, flaw.detail) for flaw in flaws] * times


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=FEW))
def test_few_doubles_are_written_as_many_are(values: list[float]) -> None:
    assert doubles(values) == doubles(np.array(values))


@given(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=FEW))
def test_few_instants_are_written_as_many_are(micros: list[int]) -> None:
    assert timestamps(micros) == timestamps(np.array(micros, np.int64))
