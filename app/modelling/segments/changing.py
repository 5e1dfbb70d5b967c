"""What a few memberships become, as statements to be run among others: what `assignments` does for many."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db.arrays import doubles, texts
from app.db.batch import Call, Statement

# A customer in a segmentation.
Place = tuple[str, UUID]
UNSURE = float("nan")
# Up to here rows are changed one by one: a statement over arrays costs as much before its first row.
ONE_BY_ONE = 3
_SINGLE, _SEVERAL = "(select {}) as given", "(select {} from {}) as given"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer is in, by what stands in the database or by what was just found."""

    segment_id: UUID
    version: int
    reason: Any
    confidence: float = field(default=UNSURE, compare=False)


@dataclass(frozen=True, slots=True)
class _Change:
    """One text over the rows that are given, as a statement for a single row and as one for any number; $1 is now."""

    one: Statement
    many: Statement
    types: tuple[str, ...]

    def of(self, now: datetime, rows: Sequence[Sequence[str | float | None]]) -> Iterator[Call]:
        if len(rows) <= ONE_BY_ONE:
            for row in rows:
                yield self.one, [now, *row]
        else:
            columns = zip(self.types, zip(*rows, strict=True), strict=True)
            yield self.many, [now, *(doubles(list(each)) if of == "float8" else texts(each) for of, each in columns)]


def _change(text: str, **types: str) -> _Change:
    """From a text with {given} where the rows come in, and the types of their columns."""
    places = {name: f"${place}" for place, name in enumerate(types, start=2)}
    single = ", ".join(f"{places[name]}::{of} as {name}" for name, of in types.items())
    cast = ", ".join(f"{name}::{of} as {name}" for name, of in types.items())
    raw = f"unnest({', '.join(places.values())}) as raw ({', '.join(types)})"
    return _Change(
        Statement(text.format(given=_SINGLE.format(single))),
        Statement(text.format(given=_SEVERAL.format(cast, raw))),
        tuple(types.values()),
    )


_CLOSE = _change(
    """
update memberships m set valid_to = $1 from {given}
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id
   and m.valid_to is null and m.valid_from < $1
""",
    customer_id="text",
    segmentation_id="uuid",
)
_UNDO = _change(
    """
delete from memberships m using {given}
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id
   and m.valid_to is null and m.valid_from >= $1
""",
    customer_id="text",
    segmentation_id="uuid",
)
# After the last range of the same customer and segmentation, as in assignments: from now on, or from the end of the
# last where the clock was set back since.
_BEGIN = _change(
    """
insert into memberships (customer_id, segmentation_id, segment_id, version, valid_from, since, evaluated_at,
                         confidence, reason)
select given.customer_id, given.segmentation_id, given.segment_id, given.version, begins,
       case when last.valid_to = begins and last.segment_id = given.segment_id then last.since else begins end,
       $1, nullif(given.confidence, 'NaN'), given.reason
  from {given}
  left join lateral (
       select segment_id, since, valid_to from memberships
        where customer_id = given.customer_id and segmentation_id = given.segmentation_id
        order by valid_from desc limit 1) as last on true,
       lateral (select greatest($1, last.valid_to) as begins) as start
""",
    customer_id="text",
    segmentation_id="uuid",
    segment_id="uuid",
    version="int",
    confidence="float8",
    reason="jsonb",
)
_CONFIRM = _change(
    """
update memberships m set evaluated_at = $1, confidence = nullif(given.confidence, 'NaN') from {given}
 where m.customer_id = given.customer_id and m.segmentation_id = given.segmentation_id
   and m.valid_to is null and m.evaluated_at < $1
""",
    customer_id="text",
    segmentation_id="uuid",
    confidence="float8",
)
_ANNOUNCE = _change(
    """
insert into membership_changes (customer_id, segmentation_id, version, left_segment_id, entered_segment_id, changed_at)
select customer_id, segmentation_id, version, left_segment_id, entered_segment_id, $1
  from {given}
""",
    customer_id="text",
    segmentation_id="uuid",
    version="int",
    left_segment_id="uuid",
    entered_segment_id="uuid",
)


def changes(
    standing: Mapping[Place, tuple[Standing, datetime]],
    found: Mapping[Place, Standing],
    *,
    now: datetime,
    announcing: bool,
) -> Iterator[Call]:
    """What makes memberships what was found; standing says since when each has been as it is."""
    same = [place for place, (stood, _) in standing.items() if found.get(place) == stood]
    kept = set(same)
    ended = [(place, began) for place, (_, began) in standing.items() if place not in kept]
    begun = sorted(place for place in found if place not in kept)
    yield from _CONFIRM.of(now, [(each, str(own), found[each, own].confidence) for each, own in same])
    yield from _CLOSE.of(now, [(each, str(own)) for (each, own), began in ended if began < now])
    yield from _UNDO.of(now, [(each, str(own)) for (each, own), began in ended if began >= now])
    yield from _BEGIN.of(now, [_row(place, found[place]) for place in begun])
    if announcing:
        yield from _ANNOUNCE.of(now, list(_moved(standing, found)))


def _row(place: Place, entered: Standing) -> tuple[str | float, ...]:
    customer_id, segmentation_id = place
    reason = orjson.dumps(entered.reason).decode()
    version = str(entered.version)
    return customer_id, str(segmentation_id), str(entered.segment_id), version, entered.confidence, reason


def _moved(
    standing: Mapping[Place, tuple[Standing, datetime]], found: Mapping[Place, Standing]
) -> Iterator[tuple[str | None, ...]]:
    """Who left a segment and who entered one; a new reason or version alone is no news."""
    for place in sorted({*standing, *found}):
        left = standing[place][0] if place in standing else None
        entered = found.get(place)
        latest = entered or left
        segments = [None if each is None else str(each.segment_id) for each in (left, entered)]
        if latest is not None and segments[0] != segments[1]:
            yield place[0], str(place[1]), str(latest.version), *segments
