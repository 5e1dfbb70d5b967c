"""Attributes as features: what a value means, what held when, and which type is settled at training."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from app.db.engine import Database
from app.errors import UnknownFeature
from app.modelling.features import repository, resolving
from app.modelling.features.attributes import AttributeType, attribute_feature
from app.modelling.features.columns import FeatureColumns
from app.modelling.features.compiler import Range, Reporting
from app.modelling.features.definitions import BY_NAME, feature_of
from app.tables.customers import customers, past_attributes

pytestmark = pytest.mark.anyio

ZONE = ZoneInfo("Europe/Berlin")
REPORTING = Reporting("EUR", ZONE)
# Half past midnight in Berlin, still the day before in UTC.
AS_OF = datetime(2026, 6, 9, 22, 30, tzinfo=UTC)
TODAY = AS_OF.astimezone(ZONE).date()
EVERYBODY = Range("", "\U0010ffff")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, pool_size=2, statement_timeout_seconds=30, application="test")
    yield found
    await found.close()


async def store(database: Database, *documents: dict[str, Any], since: datetime | None = AS_OF) -> None:
    """Customers named by their place, who have these attributes since an instant."""
    rows = [
        {"customer_id": f"{place:05}", "attributes": document, "attributes_since": since}
        for place, document in enumerate(documents)
    ]
    async with database.write() as session:
        await session.execute(delete(customers))
        await session.execute(insert(customers), rows)


async def read(database: Database, name: str, dtype: AttributeType, as_of: datetime = AS_OF) -> list[Any]:
    feature = attribute_feature(f"attributes.{name}", dtype)
    async with database.read() as session:
        found = await repository.read(session, (feature,), scope=EVERYBODY, as_of=as_of, reporting=REPORTING)
    return [value for _, value in found.rows]


# A value, and what it is as a number, as a category, as a date: days before 10 June 2026, which it is in Berlin.
VALUES: list[tuple[Any, float | None, str | None, int | None]] = [
    (15, 15.0, "15", None),
    (-1.5, -1.5, "-1.5", None),
    (1e300, 1e300, None, None),
    (True, 1.0, "true", None),
    (False, 0.0, "false", None),
    ("15", 15.0, "15", None),
    (" 15.50 ", 15.5, "15.50", None),
    (".5e3", 500.0, ".5e3", None),
    ("1e999", None, "1e999", None),
    ("0x10", None, "0x10", None),
    ("NaN", None, "NaN", None),
    ("Infinity", None, "Infinity", None),
    ("1,5", None, "1,5", None),
    ("Female", None, "Female", None),
    ("", None, None, None),
    ("  ", None, None, None),
    ("2026-06-09", None, "2026-06-09", 1),
    ("2026-06-11", None, "2026-06-11", -1),
    ("2026-06-09T23:30:00", None, "2026-06-09T23:30:00", 1),
    ("2026-06-09T21:30:00Z", None, "2026-06-09T21:30:00Z", 1),
    ("2026-06-09T22:00:00Z", None, "2026-06-09T22:00:00Z", 0),
    ("2026-06-09T19:00:00.5-05:00", None, "2026-06-09T19:00:00.5-05:00", 0),
    ("2026-02-30", None, "2026-02-30", None),
    ("0000-01-01", None, "0000-01-01", None),
    ("9999-12-31T23:59:59-14:00", None, "9999-12-31T23:59:59-14:00", None),
    ("2026-6-9", None, "2026-6-9", None),
    ("infinity", None, "infinity", None),
    ("today", None, "today", None),
    ([1], None, None, None),
    ({"a": 1}, None, None, None),
    (None, None, None, None),
]


async def test_a_value_is_read_as_the_settled_type_and_any_other_is_unknown(database: Database) -> None:
    await store(database, *({"x": value} for value, *_ in VALUES), {})
    assert await read(database, "x", "number") == [*(number for _, number, *_ in VALUES), None]
    words = await read(database, "x", "category")
    expected = [*(word for *_, word, _ in VALUES), None]
    # A number of 300 digits is written out.
    assert words[2] == str(10**300)
    assert words[:2] + words[3:] == expected[:2] + expected[3:]
    days = await read(database, "x", "date")
    far = [each[0] for each in VALUES].index("9999-12-31T23:59:59-14:00")
    assert days[far] < -2_900_000
    expected = [*(day for *_, day in VALUES), None]
    assert days[:far] + days[far + 1 :] == expected[:far] + expected[far + 1 :]


@pytest.mark.parametrize("name", ["Annual Income (k$)", "%s", "a.b", "'\"", "x" * 100, "größe", ":x", "{}"])
async def test_any_name_of_an_attribute_can_be_used(database: Database, name: str) -> None:
    await store(database, {name: 7, "other": 8})
    assert await read(database, name, "number") == [7.0]
    async with database.read() as session:
        [found] = await resolving.resolve_features(session, [f"attributes.{name}"], as_of=AS_OF)
    assert (found.name, found.dtype) == (f"attributes.{name}", "number")


async def test_what_held_at_an_instant_is_read_and_before_it_nothing_is_known(database: Database) -> None:
    first, second = AS_OF - timedelta(days=20), AS_OF - timedelta(days=10)
    await store(database, {"x": 2}, since=second)
    async with database.write() as session:
        past = {"customer_id": "00000", "valid_from": first, "valid_to": second, "attributes": {"x": 1}}
        await session.execute(insert(past_attributes), past)
    tick = timedelta(microseconds=1)
    for instant, value in (
        (first - tick, None),
        (first, 1.0),
        (second - tick, 1.0),
        (second, 2.0),
        (AS_OF, 2.0),
    ):
        assert await read(database, "x", "number", instant) == [value]
    assert await changes(database, "x", "number", first - tick) == [first]
    assert await changes(database, "x", "number", first) == [second]
    assert await changes(database, "x", "number", second) == [None]


async def changes(database: Database, name: str, dtype: AttributeType, as_of: datetime) -> list[datetime | None]:
    feature = attribute_feature(f"attributes.{name}", dtype)
    async with database.read() as session:
        found = await repository.read_with_next_change(
            session, (feature,), scope=EVERYBODY, as_of=as_of, reporting=REPORTING
        )
    return found.next_changes


# Zones with an hour that is skipped or repeated at midnight itself, and one without any.
MIDNIGHTS = [
    ("UTC", AS_OF, datetime(2026, 6, 10, tzinfo=UTC)),
    ("Europe/Berlin", AS_OF, datetime(2026, 6, 10, 22, tzinfo=UTC)),
    # Havana: on 8 March 2026 midnight becomes one o'clock, which is 05:00 UTC; on 1 November one o'clock becomes
    # midnight again, the first of the two being 04:00 UTC.
    ("America/Havana", datetime(2026, 3, 8, 4, tzinfo=UTC), datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 3, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 4, 30, tzinfo=UTC), datetime(2026, 11, 2, 5, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "as_of", "midnight"), MIDNIGHTS)
async def test_a_date_grows_at_midnight_of_the_reporting_zone(
    database: Database, zone: str, as_of: datetime, midnight: datetime
) -> None:
    await store(database, {"x": "2020-01-01"}, {"x": "soon"}, since=datetime(2020, 1, 1, tzinfo=UTC))
    feature = attribute_feature("attributes.x", "date")

    async def at(instant: datetime) -> tuple[list[Any], list[datetime | None]]:
        async with database.read() as session:
            found = await repository.read_with_next_change(
                session, (feature,), scope=EVERYBODY, as_of=instant, reporting=Reporting("EUR", ZoneInfo(zone))
            )
        return [value for _, value in found.rows], found.next_changes

    [days, unknown], following = await at(as_of)
    assert unknown is None
    assert following == [midnight, None]
    assert (await at(midnight - timedelta(microseconds=1)))[0] == [days, None]
    assert (await at(midnight))[0] == [days + 1, None]


async def resolve(database: Database, *names: str, as_of: datetime = AS_OF) -> list[tuple[str, str]]:
    async with database.read() as session:
        found = await resolving.resolve_features(session, names, as_of=as_of)
    return [(feature.name, feature.dtype) for feature in found]


async def test_types_are_settled_from_all_known_values(database: Database) -> None:
    await store(
        database,
        {"age": "19", "vip": True, "born": "1990-01-31", "city": "Rome", "mixed": 1, "list": [1]},
        {"age": 21, "vip": "0", "born": "2001-05-06T00:00:00Z", "city": "12", "mixed": "2020-01-01"},
        {"age": "", "born": None},
    )
    names = [f"attributes.{name}" for name in ("age", "vip", "born", "city", "mixed")]
    settled = ["number", "number", "date", "category", "category"]
    asked = ["total_spend", *names, "purchase_count"]
    found = await resolve(database, *asked)
    assert found == list(zip(asked, ["number", *settled, "integer"], strict=True))
    # What was settled then is what it is from now on.
    assert [(feature_of(*each).name, feature_of(*each).dtype) for each in found] == found


async def test_what_nobody_has_is_refused_with_its_place(database: Database) -> None:
    await store(database, {"age": 19, "list": [1], "blank": " "})
    asked = ["attributes.age", "nonsense", "attributes.", "attributes.list", "attributes.blank", "attributes.\x00"]
    with pytest.raises(UnknownFeature) as refused:
        await resolve(database, *asked)
    assert [each.pointer for each in refused.value.errors] == [f"/features/{place}" for place in range(1, 6)]
    # Nobody had it before it was told.
    with pytest.raises(UnknownFeature):
        await resolve(database, "attributes.age", as_of=AS_OF - timedelta(days=1))


async def test_a_persisted_feature_of_no_type_is_refused() -> None:
    for name, dtype in (("attributes.x", "colour"), ("nonsense", "number")):
        with pytest.raises(UnknownFeature):
            feature_of(name, dtype)
    assert feature_of("total_spend", "number") is BY_NAME["total_spend"]


async def test_categories_are_words_in_columns_and_numbers_are_floats(database: Database) -> None:
    await store(database, {"city": "Rome", "age": 3}, {})
    wanted = (
        attribute_feature("attributes.city", "category"),
        attribute_feature("attributes.age", "number"),
        BY_NAME["dominant_channel"],
    )
    async with database.read() as session:
        found = await repository.read(session, wanted, scope=EVERYBODY, as_of=AS_OF, reporting=REPORTING)
    columns = FeatureColumns.of(wanted, found.rows)
    assert columns.values["attributes.city"].tolist() == ["Rome", None]
    assert columns.values["attributes.age"].dtype == float
    assert columns.values["dominant_channel"].dtype == object


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
    | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(Z|\+[0-9]{2}:?[0-9]{2})?)?\Z")
    | st.from_regex(r"\A[+-]?[0-9]{1,9}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,4})?\Z"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=3,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(values=st.lists(ANY_JSON, min_size=1, max_size=20))
async def test_no_value_whatever_makes_a_read_fail(database: Database, values: list[Any]) -> None:
    await store(database, *({"x": value} for value in values))
    numbers, words, days = [await read(database, "x", dtype) for dtype in ("number", "category", "date")]
    for value, number, word, day in zip(values, numbers, words, days, strict=True):
        if isinstance(value, bool | int | float):
            assert (number, day) == (float(value), None)
        if value is None or isinstance(value, list | dict):
            assert (number, word, day) == (None, None, None)
        if isinstance(value, str):
            assert number is None or day is None
