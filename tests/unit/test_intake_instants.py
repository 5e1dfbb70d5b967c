"""Columns of instants, against Python's own reading of each."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records.intake.instants import FEW, micros_of

# Hypothesis takes its bounds without a zone.
FIRST, LAST = datetime(1900, 1, 1), datetime(2199, 12, 31, 23, 59, 59)  # noqa: DTZ001
INSTANTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


@pytest.mark.parametrize("times", [1, FEW + 1], ids=["few", "many"])
@given(st.lists(INSTANTS.map(lambda instant: instant.replace(microsecond=0)), min_size=1, max_size=20))
def test_instants_written_alike_equal_python_s(times: int, instants: list[datetime]) -> None:
    texts = [instant.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0") for instant in instants]
    micros, wrong = micros_of(texts * times)
    assert wrong == []
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert micros.tolist() == [(instant - epoch) // timedelta(microseconds=1) for instant in instants] * times


@pytest.mark.parametrize(
    "text",
    ["2026-W07-5T10:00:00Z", "20260220T10:00:00.0Z", "2026-02-20 10:00:00Z", "2026-02-20T10:00:00z",
     "2026-02-20T10:00:00", "2026-02-20T10:00+01:00", "1899-12-31T23:59:59Z", "2200-01-01T00:00:00Z",
     "2026-02-2\u0660T10:00:00Z", "2026-02-30T10:00:00Z", "2026-02-20T24:00:00Z", "", "yesterday at half past"],
)  # fmt: skip
def test_one_alone_is_read_as_among_many(text: str) -> None:
    alone, wrong_alone = micros_of([text])
    among, wrong_among = micros_of([text] * (FEW + 1))
    assert np.unique(among).tolist() == alone.tolist()
    assert [wrong_alone[0][1:]] * (FEW + 1) == [each[1:] for each in wrong_among] if wrong_alone else not wrong_among


@pytest.mark.parametrize(
    "text",
    ["2026-02-30T10:00:00Z", "2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z", "2026-01-00T10:00:00Z",
     "2025-02-29T10:00:00Z", "2100-02-29T10:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T10:60:00Z",
     "2026-01-01T10:00:60Z"],
)  # fmt: skip
def test_one_instant_that_does_not_exist_among_thousands_is_found_alone(text: str) -> None:
    # Many, because NumPy's own parser crashed the process from about 600 rows on.
    micros, wrong = micros_of(["2026-02-20T10:00:00Z"] * 4_999 + [text])
    assert [(position, code) for position, code, _ in wrong] == [(4_999, "invalid_instant")]
    assert np.unique(micros[:-1]).tolist() == [int(datetime(2026, 2, 20, 10, tzinfo=UTC).timestamp()) * 1_000_000]


def test_leap_days_that_exist_are_taken() -> None:
    for times in (1, FEW + 1):
        micros, wrong = micros_of(["2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z"] * times)
        assert wrong == []
        assert micros.tolist() == [1_709_164_800_000_000, 951_782_400_000_000] * times  # date -u -d ... +%s
