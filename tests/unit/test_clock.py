"""Instants are aware and sane, days start where the zone says, windows are half-open."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import (
    Clock,
    FrozenClock,
    InvalidInstant,
    SystemClock,
    Window,
    format_instant,
    growing_pause,
    parse_day,
    parse_instant,
    parse_window,
    start_of_day,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
# Zones that skip or repeat midnight itself, lie far from UTC, or have odd offsets.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Asia/Beirut",
    "America/Havana",
    "America/Santiago",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
]


FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
INSTANTS = st.timedeltas(timedelta(0), LAST - FIRST).map(lambda since: FIRST + since)
LOOKS_LIKE_ONE = st.from_regex(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)


def test_the_system_clock_gives_an_aware_utc_present():
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_a_frozen_clock_moves_only_when_told():
    clock = FrozenClock(NOON)
    seen: Clock = clock
    assert seen.now() == seen.now() == NOON
    clock.advance(timedelta(days=1, seconds=1))
    assert seen.now() == datetime(2026, 2, 1, 12, 0, 1, tzinfo=UTC)


def test_a_frozen_clock_answers_in_utc_and_refuses_a_naive_instant():
    assert FrozenClock(NOON.astimezone(BERLIN)).now().tzinfo is UTC
    with pytest.raises(InvalidInstant) as refusal:
        FrozenClock(NOON.replace(tzinfo=None))
    assert refusal.value.code == "naive_instant"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31T12:00:00+00:00", NOON),
        ("2026-01-31T12:00:00-00:00", NOON),
        ("2026-01-31T14:30:00+02:30", NOON),
        ("2026-01-30T12:01:00-23:59", NOON),
        ("2026-01-31T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        ("2026-01-31T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("1900-01-01T00:00:00Z", datetime(1900, 1, 1, tzinfo=UTC)),
        ("1899-12-31T23:00:00-01:00", datetime(1900, 1, 1, tzinfo=UTC)),
        ("2199-12-31T23:59:59Z", datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2200-01-01T00:30:00+01:00", datetime(2199, 12, 31, 23, 30, tzinfo=UTC)),
        # The examples of RFC 3339, section 5.8, that are no leap second.
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, tzinfo=UTC)),
        ("1996-12-19T16:39:57-08:00", datetime(1996, 12, 20, 0, 39, 57, tzinfo=UTC)),
        ("1937-01-01T12:00:27.87+00:20", datetime(1937, 1, 1, 11, 40, 27, 870_000, tzinfo=UTC)),
    ],
)
def test_an_rfc_3339_instant_is_read_as_utc(text, instant):
    read = parse_instant(text)
    assert read == instant
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("2026-01-31T12:00:00", "naive_instant", "offset"),
        ("2026-01-31 12:00:00.5", "naive_instant", "offset"),
        ("2026-01-31T12:00", "naive_instant", "offset"),
        ("0000-01-01T00:00:00Z", "absurd_instant", "1900"),
        ("0001-01-01T00:00:00+14:00", "absurd_instant", "1900"),
        ("0002-01-01T00:00:00Z", "absurd_instant", "1900"),
        ("1899-12-31T23:59:59Z", "absurd_instant", "1900"),
        ("1900-01-01T00:30:00+01:00", "absurd_instant", "1900"),
        ("2200-01-01T00:00:00Z", "absurd_instant", "2199"),
        ("9999-12-31T23:59:59-14:00", "absurd_instant", "2199"),
        ("2026-01-31T24:00:00Z", "invalid_instant", "next day"),
        # The leap second of RFC 3339, section 5.8.
        ("1990-12-31T23:59:60Z", "invalid_instant", "leap second"),
        ("2026-02-30T12:00:00Z", "invalid_instant", "calendar"),
        ("2026-13-01T12:00:00Z", "invalid_instant", "calendar"),
        ("2026-01-31T12:60:00Z", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00+24:00", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00+01:60", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00+0100", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00 01:00", "invalid_instant", "%2B"),
        ("2026-01-31 12:00:00Z", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00Z", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00,5Z", "invalid_instant", "RFC 3339"),
        ("2026-W05-6T12:00:00Z", "invalid_instant", "RFC 3339"),
        ("20260131T120000Z", "invalid_instant", "RFC 3339"),
        ("2026-01-31", "invalid_instant", "RFC 3339"),
        ("\u0662026-01-31T12:00:00Z", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00Z\n", "invalid_instant", "RFC 3339"),
        ("", "invalid_instant", "RFC 3339"),
        ("yesterday", "invalid_instant", "RFC 3339"),
        ("2026-01-31T12:00:00." + "0" * 9999 + "Z", "invalid_instant", "RFC 3339"),
    ],
)
def test_what_is_no_usable_instant_is_refused_with_its_code(text, code, says):
    with pytest.raises(InvalidInstant, match=says) as refusal:
        parse_instant(text)
    assert refusal.value.code == code
    assert isinstance(refusal.value, ValueError)
    assert len(str(refusal.value)) < 200


@given(LOOKS_LIKE_ONE | st.text(max_size=40))
def test_any_text_is_either_a_sane_instant_or_refused(text):
    with suppress(InvalidInstant):
        assert FIRST <= parse_instant(text) <= LAST


@given(INSTANTS, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_what_was_written_in_any_offset_reads_back_as_the_same_instant(instant, minutes):
    elsewhere = instant.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(elsewhere.isoformat()) == instant
    assert parse_instant(format_instant(elsewhere)) == instant


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON.replace(microsecond=5), "2026-01-31T12:00:00.000005Z"),
        (NOON.replace(microsecond=500_000), "2026-01-31T12:00:00.500000Z"),
        (NOON.astimezone(BERLIN), "2026-01-31T12:00:00Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_microseconds_only_where_there_are_any(instant, text):
    assert format_instant(instant) == text


def test_a_naive_instant_is_not_written():
    with pytest.raises(InvalidInstant) as refusal:
        format_instant(NOON.replace(tzinfo=None))
    assert refusal.value.code == "naive_instant"


def test_a_day_is_read():
    assert parse_day("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-02-29", "invalid_day"),
        ("0000-01-01", "invalid_day"),
        ("20260131", "invalid_day"),
        ("2026-1-31", "invalid_day"),
        ("2026-W05-6", "invalid_day"),
        ("2026-01-31T00:00:00Z", "invalid_day"),
        ("2026-01-31\n", "invalid_day"),
        ("", "invalid_day"),
        ("1899-12-31", "absurd_day"),
        ("2200-01-01", "absurd_day"),
    ],
)
def test_what_is_no_usable_day_is_refused_with_its_code(text, code):
    with pytest.raises(InvalidInstant) as refusal:
        parse_day(text)
    assert refusal.value.code == code


# Changes of the clocks: IANA time zone database.
@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC), 24),
        ("Europe/Berlin", date(2026, 3, 29), datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        ("Europe/Berlin", date(2026, 10, 25), datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        # 2021-03-28 began at 01:00, there was no midnight.
        ("Asia/Beirut", date(2021, 3, 28), datetime(2021, 3, 27, 22, tzinfo=UTC), 23),
        # 2021-11-07 met midnight twice and began with the first.
        ("America/Havana", date(2021, 11, 7), datetime(2021, 11, 7, 4, tzinfo=UTC), 25),
        # Samoa went over the date line and never had this day.
        ("Pacific/Apia", date(2011, 12, 30), datetime(2011, 12, 30, 10, tzinfo=UTC), 0),
    ],
)
def test_a_day_lasts_from_its_first_instant_in_the_zone_to_the_first_of_the_next(zone, day, start, hours):
    assert start_of_day(day, ZoneInfo(zone)) == start
    assert start_of_day(day + timedelta(days=1), ZoneInfo(zone)) == start + timedelta(hours=hours)


@given(st.dates(date(1970, 1, 2), date(2037, 12, 30)), st.sampled_from(ZONES))
def test_every_instant_lies_in_exactly_one_day_of_the_zone(day, name):
    zone = ZoneInfo(name)
    start, end = start_of_day(day, zone), start_of_day(day + timedelta(days=1), zone)
    if start < end:
        tick = timedelta(microseconds=1)
        assert start.astimezone(zone).date() == (end - tick).astimezone(zone).date() == day
        assert (start - tick).astimezone(zone).date() < day


def test_a_window_of_dates_starts_and_ends_where_those_days_start_in_the_zone():
    window = parse_window("2026-03-01", "2026-04-01", BERLIN)
    assert window.start == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert window.end == datetime(2026, 3, 31, 22, tzinfo=UTC)


def test_a_window_may_mix_a_date_and_an_instant():
    window = parse_window("2026-01-31T12:00:00Z", "2026-02-01", ZoneInfo("UTC"))
    assert window == Window(NOON, datetime(2026, 2, 1, tzinfo=UTC))


def test_a_window_holds_its_start_and_not_its_end():
    window = Window(NOON, NOON + timedelta(hours=1))
    assert window.start in window
    assert window.end - timedelta(microseconds=1) in window
    assert window.end not in window
    assert window.start - timedelta(microseconds=1) not in window


def test_windows_that_meet_share_no_instant_and_miss_none():
    first, second = (
        parse_window(*bounds, BERLIN) for bounds in (("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01"))
    )
    assert first.end == second.start
    assert first.end not in first
    assert first.end in second


@pytest.mark.parametrize(
    ("from_", "to", "says"),
    [
        ("2026-02-01", "2026-01-01", "ends before it starts"),
        ("2026-01-01", "2026-01-01", "empty"),
        ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z", "empty"),
    ],
)
def test_an_empty_or_reversed_window_is_refused(from_, to, says):
    with pytest.raises(InvalidInstant, match=says) as refusal:
        parse_window(from_, to, ZoneInfo("UTC"))
    assert refusal.value.code == "bad_window"


@pytest.mark.parametrize(
    ("from_", "to", "code", "field"),
    [
        ("2026-01-01T00:00:00", "2026-02-01", "naive_instant", "from"),
        ("2026-01-01", "0001-01-01", "absurd_day", "to"),
        ("2026-01-01", "soon", "invalid_instant", "to"),
    ],
)
def test_a_bad_bound_is_named(from_, to, code, field):
    with pytest.raises(InvalidInstant, match=f"^{field}: ") as refusal:
        parse_window(from_, to, BERLIN)
    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_a_window_of_naive_instants_is_refused():
    with pytest.raises(InvalidInstant) as refusal:
        Window(NOON.replace(tzinfo=None), NOON)
    assert refusal.value.code == "naive_instant"


def test_a_window_built_in_another_offset_is_kept_in_utc():
    window = Window(NOON.astimezone(BERLIN), NOON + timedelta(days=1))
    assert window.start.tzinfo is UTC
    assert window.start == NOON


def test_a_pause_doubles_with_each_failure_up_to_the_longest_however_many_there_are():
    assert [growing_pause(0.5, failures, longest=15) for failures in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    # A day of failures, one every 15 seconds.
    assert growing_pause(0.5, 5_760, longest=15) == 15
