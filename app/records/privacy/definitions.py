"""What every table knows of a customer, and what becomes of it at erasure, merge and export: said once, here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

import orjson
from sqlalchemy import ARRAY, Column, ColumnElement, LargeBinary, Table, Text, and_, any_, bindparam, exists, func, or_

from app.tables import metadata
from app.tables.campaigns import campaign_assignments
from app.tables.customers import customer_aliases, customers, past_attributes
from app.tables.events import events
from app.tables.intake import dirty_customers, rejections
from app.tables.operations import idempotency_keys
from app.tables.predictions import churn_scores, clv_scores
from app.tables.rollups import folded_facts, folded_spells, rollup_entries
from app.tables.segments import evaluations_due, membership_changes, memberships, segment_exceptions
from app.tables.transactions import transaction_items, transactions
from app.tables.webhooks import webhook_deliveries

_TEXTS = ARRAY(Text(collation="C"))


class AtErase(Enum):
    """REMOVE the rows; keep them ANONYMOUS, for totals; TAKE_OUT the identifier from a list of many.

    REPLACE it by a name drawn for this erasure, the same in all tables, until what it counted is taken out of the sums.
    """

    REMOVE = auto()
    ANONYMOUS = auto()
    TAKE_OUT = auto()
    REPLACE = auto()


class AtMerge(Enum):
    """MOVE the rows to the survivor; REMOVE them; RENAME the identifier in a list; let them STAY as they are.

    JOIN: move those that the survivor has no counterpart of, remove the others. FOLD is the merge itself: the
    customers become one row and one more alias.
    """

    MOVE = auto()
    JOIN = auto()
    REMOVE = auto()
    RENAME = auto()
    STAY = auto()
    FOLD = auto()


# Given the identifiers of one person (the surviving one first, then those merged into it): which rows are meant.
About = Callable[[Sequence[str]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One table: how its rows name a customer, what becomes of them, and why so.

    cleared: what an anonymous row loses, besides nothing. exported: the columns that are the customer's own data;
    None is all of them, () is none.
    """

    table: Table
    about: About
    at_erase: AtErase
    at_merge: AtMerge
    why: str
    cleared: Mapping[str, Any] | None = None
    exported: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> list[Column[Any]]:
        """What an export shows."""
        return [each for each in self.table.c if self.exported is None or each.name in self.exported]


def _texts(names: Sequence[str]) -> ColumnElement[Any]:
    return bindparam(None, list(names), _TEXTS, unique=True)


def _named_in(column: Column[Any]) -> About:
    return lambda names: column == any_(_texts(names))


def _listed_in(column: Column[Any]) -> About:
    return lambda names: column.op("&&")(_texts(names))


def _lines_of_transactions(names: Sequence[str]) -> ColumnElement[bool]:
    t, i = transactions.c, transaction_items.c
    return exists().where(
        t.source == i.source, t.transaction_id == i.transaction_id, t.customer_id == any_(_texts(names))
    )


def _spelled_in(text: Column[Any], names: Sequence[str]) -> ColumnElement[bool]:
    """Whether the bytes of a JSON text hold one of these identifiers as a whole string."""
    spelled = (bindparam(None, orjson.dumps(name), LargeBinary, unique=True) for name in names)
    return or_(*(func.position(each.op("in")(text)) > 0 for each in spelled))


def _refused_rows(names: Sequence[str]) -> ColumnElement[bool]:
    """Rows that name the customer, and rows without a readable customer in whose text the identifier stands."""
    r = rejections.c
    return or_(r.customer_id == any_(_texts(names)), and_(r.customer_id.is_(None), _spelled_in(r.payload, names)))


def _remembered_answers(names: Sequence[str]) -> ColumnElement[bool]:
    """Answers that hold the identifier, and answers to a path that does, spelled plainly or for a URL."""
    path = idempotency_keys.c.path + "/"
    spelled = {f"/{form}/" for name in names for form in (name, quote(name, safe=""))}
    in_path = (func.strpos(path, each) > 0 for each in sorted(spelled))
    return or_(_spelled_in(idempotency_keys.c.body, names), *in_path)


# In the order of erasure: what hangs on a row comes before the row that says whose it is.
PLANS: tuple[Plan, ...] = (
    Plan(
        customer_aliases,
        _named_in(customer_aliases.c.customer_id),
        AtErase.REMOVE,
        AtMerge.FOLD,
        "other names of the person; each gets a tombstone of its own",
    ),
    Plan(
        customers,
        _named_in(customers.c.customer_id),
        AtErase.REMOVE,
        AtMerge.FOLD,
        "the person themselves",
    ),
    Plan(
        past_attributes,
        _named_in(past_attributes.c.customer_id),
        AtErase.REMOVE,
        AtMerge.FOLD,
        "what was known of the person before; the survivor's own past wins, where they have one",
    ),
    Plan(
        transaction_items,
        _lines_of_transactions,
        AtErase.ANONYMOUS,
        AtMerge.STAY,
        "lines belong to their transaction and name nobody",
    ),
    Plan(
        transactions,
        _named_in(transactions.c.customer_id),
        AtErase.ANONYMOUS,
        AtMerge.MOVE,
        "totals stay right; without the customer it is a guest's",
        cleared={"customer_id": None},
    ),
    Plan(
        events,
        _named_in(events.c.customer_id),
        AtErase.ANONYMOUS,
        AtMerge.MOVE,
        "totals stay right; properties are free text and may hold anything, so they go",
        cleared={"customer_id": None, "properties": {}},
    ),
    Plan(
        memberships,
        _named_in(memberships.c.customer_id),
        AtErase.REMOVE,
        AtMerge.REMOVE,
        "inferred from what one name alone had done; the survivor's are evaluated anew",
    ),
    Plan(
        segment_exceptions,
        _named_in(segment_exceptions.c.customer_id),
        AtErase.REMOVE,
        AtMerge.JOIN,
        "decided by hand about the person; where both names were decided about, the survivor's decision stands",
    ),
    Plan(
        evaluations_due,
        _named_in(evaluations_due.c.customer_id),
        AtErase.REMOVE,
        AtMerge.REMOVE,
        "when one name alone is due; the survivor is evaluated anew",
    ),
    Plan(
        churn_scores,
        _named_in(churn_scores.c.customer_id),
        AtErase.REMOVE,
        AtMerge.REMOVE,
        "predicted from what one name alone had done; the survivor is scored anew",
    ),
    Plan(
        clv_scores,
        _named_in(clv_scores.c.customer_id),
        AtErase.REMOVE,
        AtMerge.REMOVE,
        "predicted from what one name alone had done; the survivor is scored anew",
    ),
    Plan(
        membership_changes,
        _named_in(membership_changes.c.customer_id),
        AtErase.REMOVE,
        AtMerge.STAY,
        "what became of a name while it was one's own, still to be told to receivers under that name",
    ),
    Plan(
        webhook_deliveries,
        _named_in(webhook_deliveries.c.customer_id),
        AtErase.REMOVE,
        AtMerge.STAY,
        "told, or to be told, under the name of that time; the receiver and its troubles are not the customer's data",
        exported=("message_id", "event", "customer_id", "payload", "status", "created_at", "delivered_at"),
    ),
    Plan(
        campaign_assignments,
        _named_in(campaign_assignments.c.customer_id),
        AtErase.ANONYMOUS,
        AtMerge.STAY,
        "how many were assigned stays known; which arm a name was in was decided under that name, and results follow it",
        cleared={"customer_id": None},
        exported=("campaign_id", "customer_id", "arm", "assigned_at", "exposed_at"),
    ),
    Plan(
        rejections,
        _refused_rows,
        AtErase.REMOVE,
        AtMerge.STAY,
        "the row as it was sent; aliases are followed when it is retried, exported or erased",
    ),
    Plan(
        dirty_customers,
        _listed_in(dirty_customers.c.customer_ids),
        AtErase.TAKE_OUT,
        AtMerge.RENAME,
        "waiting for evaluation; the list names other people too, so only its times are exported",
        exported=("batch_id", "touched_at"),
    ),
    # After transactions and memberships, of whose change the ledger takes note.
    Plan(
        rollup_entries,
        _listed_in(rollup_entries.c.customer_ids),
        AtErase.REPLACE,
        AtMerge.STAY,
        "whose contributions to sums changed, for a moment; both names of a merge, so that one's leave the other's",
        exported=(),
    ),
    Plan(
        folded_facts,
        _named_in(folded_facts.c.customer_id),
        AtErase.REPLACE,
        AtMerge.STAY,
        "what the sums hold of transactions, which are exported; gone as soon as the sums hold it no more",
        exported=(),
    ),
    Plan(
        folded_spells,
        _named_in(folded_spells.c.customer_id),
        AtErase.REPLACE,
        AtMerge.STAY,
        "what the sums hold of memberships, which are exported; gone as soon as the sums hold it no more",
        exported=(),
    ),
    Plan(
        idempotency_keys,
        _remembered_answers,
        AtErase.REMOVE,
        AtMerge.STAY,
        "an answer given before, kept to be given again; it may name other people, so only its place is exported",
        exported=("path", "created_at"),
    ),
)

# Tables that know no customer, each with the reason. A table in neither list fails a test.
KNOWS_NOBODY: Mapping[str, str] = {
    "api_keys": "callers, not customers",
    "audit_log": "a customer in it is a keyed hash, which proves the erasure and names nobody",
    "campaigns": "what was planned, for whom by kind and not by name",
    "clv_equity": "sums over many",
    "cohort_periods": "sums over many",
    "costs": "what was spent, on nobody in particular",
    "erasure_receipts": "counts by table",
    "exchange_rates": "currencies",
    "job_uploads": "raw files, dropped when their job ends; rows of the erased are refused when they are read",
    "jobs": "settings, counts and ids of our own; rows of a file that were refused are kept under rejections",
    "known_batches": "digests of whole bodies",
    "model_activations": "when which model served",
    "global_holdouts": "shares and times",
    "initiatives": "what was intended",
    "kpi_days": "sums by day",
    "models": "what was learned from many: centres, splits and figures, no row of anybody",
    "predictive_models": "how a model was asked for, and figures over everybody",
    "privacy_state": "one number",
    "feed_state": "one instant, to the hour",
    "rollup_state": "for which currency and zone sums are made",
    "segmentation_versions": "rules and figures over everybody",
    "segmentations": "how a segmentation was asked for",
    "segments": "names and averages of many",
    "tombstones": "keyed hashes, kept so that the erased are refused",
    "webhook_endpoints": "receivers, not customers",
}


def unplanned() -> set[str]:
    """Tables for which nobody has said what they know."""
    return set(metadata.tables) - {plan.name for plan in PLANS} - KNOWS_NOBODY.keys()
