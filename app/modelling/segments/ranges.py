"""The statements that make memberships what was assigned: time ranges without gap or overlap."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Double,
    Executable,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.modelling.features.compiler import within
from app.tables.segments import membership_changes, memberships

# What one evaluation assigns, while its transaction lasts. Not of the schema: it lives in the session. Many customers
# share one outcome: it is written once, and named by number.
assigned = Table(
    "assigned",
    MetaData(),
    Column("customer_id", Text(collation="C")),
    Column("outcome", Integer),
    Column("confidence", Double),
)
outcomes = Table(
    "outcomes", assigned.metadata, Column("outcome", Integer), Column("segment_id", Uuid), Column("reason", JSONB)
)
CREATE_ASSIGNED = text(
    """
    create temporary table if not exists assigned (
      customer_id text collate "C" not null, outcome integer not null, confidence double precision
    ) on commit delete rows
    """
)
# By the key the planner knows that an assignment has one outcome; it would prepare for many.
CREATE_OUTCOMES = text(
    """
    create temporary table if not exists outcomes (
      outcome integer primary key, segment_id uuid not null, reason jsonb not null
    ) on commit delete rows
    """
)
EMPTY = text("truncate assigned, outcomes")

_m = memberships.c
_found = (
    select(assigned.c.customer_id, outcomes.c.segment_id, outcomes.c.reason, assigned.c.confidence)
    .join_from(assigned, outcomes, outcomes.c.outcome == assigned.c.outcome)
    .subquery("found")
)
_a = _found.c
# Named unlike any column, or an update would take them for values to set.
_SEGMENTATION = bindparam("of_segmentation", type_=Uuid)
_VERSION = bindparam("by_version", type_=Integer)
_NOW = bindparam("now", type_=DateTime(timezone=True))

# Null where nothing was assigned.
_SAME = "(asked.segment_id = m.segment_id and asked.reason = m.reason and m.version = :by_version)"
# The same for customers by name, in one pass over what stands, which also says on unchanged ranges that they were
# evaluated. Only ranges that began this very instant and are already otherwise are left as they are, and counted: they
# are for `undo` and `begin`. An insert that reads what an update returns comes after it, row by row.
RENEW = text(
    """
    with found as materialized (
      select a.customer_id, o.segment_id, o.reason, a.confidence from assigned a join outcomes o using (outcome)
    ), asked as (
      select each.customer_id, found.segment_id, found.reason, found.confidence
        from unnest(:customer_ids) as each (customer_id) left join found using (customer_id)
    ), looked_at as (
      update memberships m
         set valid_to = case when <same> or m.valid_from >= :now then null else :now end,
             evaluated_at = case when <same> then greatest(m.evaluated_at, :now) else m.evaluated_at end,
             confidence = case when <same> then asked.confidence else m.confidence end
        from asked
       where m.customer_id = asked.customer_id and m.segmentation_id = :of_segmentation and m.valid_to is null
      returning m.customer_id, m.segment_id, m.since, m.valid_to, <same> is true as is_same
    ), begun as (
      insert into memberships (customer_id, segmentation_id, segment_id, version, valid_from, since, evaluated_at,
                               confidence, reason)
      select found.customer_id, :of_segmentation, found.segment_id, :by_version, begins,
             case when last.valid_to = begins and last.segment_id = found.segment_id then last.since else begins end,
             :now, found.confidence, found.reason
        from found
        left join looked_at as now_closed using (customer_id)
        left join lateral (
             select segment_id, since, valid_to from memberships
              where now_closed.customer_id is null
                and customer_id = found.customer_id and segmentation_id = :of_segmentation
              order by valid_from desc limit 1) as closed_before on true,
             lateral (
             select coalesce(now_closed.segment_id, closed_before.segment_id) as segment_id,
                    coalesce(now_closed.since, closed_before.since) as since,
                    coalesce(now_closed.valid_to, closed_before.valid_to) as valid_to) as last,
             lateral (select greatest(:now, last.valid_to) as begins) as start
       where now_closed.customer_id is null or now_closed.valid_to is not null
       order by found.customer_id
      returning 1
    )
    select (select count(*) from looked_at where valid_to is not null) as closed,
           (select count(*) from begun) as begun,
           (select count(*) from looked_at where valid_to is null and not is_same) as left_over
    """.replace("<same>", _SAME)
).bindparams(_SEGMENTATION, _VERSION, _NOW)


@dataclass(frozen=True, slots=True)
class Statements:
    """What makes memberships so, in this order."""

    close: Executable
    undo: Executable
    begin: Executable
    announce: Executable


@cache
def statements(scope: Literal["everybody", "range", "some"]) -> Statements:
    """What closes, undoes, begins and announces the ranges of the scope."""
    in_scope = {
        "everybody": true(),
        "range": within(_m.customer_id, by_range=True),
        # Without a type: it comes as the server reads it.
        "some": _m.customer_id == any_(bindparam("customer_ids")),
    }[scope]
    standing = and_(_m.segmentation_id == _SEGMENTATION, _m.valid_to.is_(None), in_scope)
    same = exists().where(
        _a.customer_id == _m.customer_id,
        _a.segment_id == _m.segment_id,
        _a.reason == _m.reason,
        _m.version == _VERSION,
    )
    return Statements(
        close=update(memberships).where(standing, _m.valid_from < _NOW, ~same).values(valid_to=_NOW),
        # What began this very instant and is already otherwise leaves no trace.
        undo=delete(memberships).where(standing, _m.valid_from >= _NOW, ~same),
        begin=_begin(),
        announce=_announce(in_scope),
    )


def _announce(in_scope: ColumnElement[bool]) -> Executable:
    """Who left a segment this instant, and who entered one; a new reason or version alone is no news."""
    of_it = and_(_m.segmentation_id == _SEGMENTATION, in_scope)
    left = select(_m.customer_id, _m.segment_id).where(of_it, _m.valid_to == _NOW).subquery("left_ones")
    entered = select(_m.customer_id, _m.segment_id).where(of_it, _m.valid_from == _NOW).subquery("entered_ones")
    values: dict[str, ColumnElement[Any]] = {
        "customer_id": func.coalesce(left.c.customer_id, entered.c.customer_id),
        "segmentation_id": _SEGMENTATION,
        "version": _VERSION,
        "left_segment_id": left.c.segment_id,
        "entered_segment_id": entered.c.segment_id,
        "changed_at": _NOW,
    }
    both = left.join(entered, left.c.customer_id == entered.c.customer_id, full=True)
    news = select(*values.values()).select_from(both).where(left.c.segment_id.is_distinct_from(entered.c.segment_id))
    return insert(membership_changes).from_select(list(values), news)


def _begin() -> Executable:
    """A range for every assignment without an open one, after the last of the same customer and segmentation.

    That is from now on, or from the end of the last where the clock was set back since.
    """
    last = (
        select(_m.segment_id, _m.since, _m.valid_from, _m.valid_to)
        .where(_m.customer_id == _a.customer_id, _m.segmentation_id == _SEGMENTATION)
        .order_by(_m.valid_from.desc())
        .limit(1)
        .lateral("last")
    )
    begins = func.greatest(_NOW, last.c.valid_to)
    stayed = and_(last.c.valid_to == begins, last.c.segment_id == _a.segment_id)
    values: dict[str, ColumnElement[Any]] = {
        "customer_id": _a.customer_id,
        "segmentation_id": _SEGMENTATION,
        "segment_id": _a.segment_id,
        "version": _VERSION,
        "valid_from": begins,
        "since": case((stayed, last.c.since), else_=begins),
        "evaluated_at": _NOW,
        "confidence": _a.confidence,
        "reason": _a.reason,
    }
    fresh = (
        select(*values.values())
        .outerjoin_from(_found, last, true())
        .where(or_(last.c.valid_from.is_(None), last.c.valid_to.is_not(None)))
        # In the order of the indexes, so that their pages are written one after the other.
        .order_by(_a.customer_id)
    )
    return insert(memberships).from_select(list(values), fresh)
