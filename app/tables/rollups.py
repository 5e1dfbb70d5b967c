"""Key figures added up by day, what of each customer is in them, and a ledger of what has changed since."""

from decimal import Decimal

from sqlalchemy import (
    ARRAY,
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA

from app.tables.metadata import identifier, instant, metadata

# Each has a counter of buyers and one of repeat buyers: distinct people add up over days only where each counts on one
# day of the interval, the first (or second) on which they bought. `ever` is one interval without beginning or end.
INTERVALS = ("day", "week", "month", "quarter", "year", "ever")
_NONE = text("'{}'")

# Exactly one row: for which currency and time zone everything below is added up; null: nothing is yet. The instants
# are those of all facts whose entries left the ledger.
rollup_state = Table(
    "rollup_state",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("currency", CHAR(3)),
    Column("zone", Text),
    instant("first_fact_at", nullable=True),
    instant("newest_fact_at", nullable=True),
    instant("received_at", nullable=True),
    CheckConstraint("only_row", name="only_row"),
)

# One row per statement that changed facts, memberships or rates, written by triggers in its own transaction: whose, and
# in which hours those of guests happened. segmentation_id: only memberships of it changed, no facts. The instants are
# those of transactions that came in; the days, [rates_from, rates_to), those for which rates did.
rollup_entries = Table(
    "rollup_entries",
    metadata,
    Column("entry_id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_ids", ARRAY(Text(collation="C")), nullable=False, server_default=_NONE),
    Column("segmentation_id", Uuid),
    Column("guest_hours", ARRAY(DateTime(timezone=True)), nullable=False, server_default=_NONE),
    instant("first_fact_at", nullable=True),
    instant("newest_fact_at", nullable=True),
    instant("received_at", nullable=True),
    Column("rates_from", Date),
    Column("rates_to", Date),
    instant("recorded_at", defaults_to_now=True),
)


def _counters() -> list[Column[int]]:
    names = [f"{who}_{interval}" for who in ("buyers", "repeat_buyers") for interval in INTERVALS]
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in [*names, "new_customers"]]


def _sums(kind: str) -> list[Column[Decimal]]:
    names = (f"{kind}s", f"{kind}_minor", f"{kind}_squares", f"{kind}s_unrated")
    return [Column(name, Numeric(), nullable=False, server_default="0") for name in names]


# One row per group and reporting day with a fact. The groups: all facts (segmentation_id null), of guests or not; the
# facts of all who were ever in a segmentation (of_members); of these, by the segment at the time of each fact, null: in
# none. Amounts in minor units of the reporting currency; those without a rate are in `unrated` only.
kpi_days = Table(
    "kpi_days",
    metadata,
    Column("segmentation_id", Uuid),
    Column("of_members", Boolean, nullable=False),
    Column("segment_id", Uuid),
    Column("of_guests", Boolean, nullable=False),
    Column("day", Date, nullable=False),
    *_sums("purchase"),
    *_sums("refund"),
    *_counters(),
    Index(
        "ix_kpi_days_group",
        *("segmentation_id", "day", "of_members", "segment_id", "of_guests"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    # Today's rows are written again and again; none of what changes in them is indexed.
    postgresql_with={"fillfactor": 70},
)

# One row per customer with facts: those that the sums hold, as `app.measurement.rollups.packed` packs them.
folded_facts = Table(
    "folded_facts",
    metadata,
    identifier("customer_id", primary_key=True),
    Column("facts", BYTEA, nullable=False),
    CheckConstraint("octet_length(facts) > 0", name="not_empty"),
)

# One row per customer and segmentation they were ever in: their stretches [starts_at, ends_at), as the sums hold them.
folded_spells = Table(
    "folded_spells",
    metadata,
    identifier("customer_id"),
    Column("segmentation_id", Uuid, nullable=False),
    Column("segment_id", ARRAY(Uuid), nullable=False),
    Column("starts_at", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("ends_at", ARRAY(DateTime(timezone=True)), nullable=False),
    PrimaryKeyConstraint("customer_id", "segmentation_id"),
    CheckConstraint("cardinality(segment_id) > 0", name="not_empty"),
)

# What happens to be an interval for cohorts: a day has too few, `ever` too many.
COHORT_INTERVALS = ("week", "month", "quarter", "year")

# One row per interval, period of first purchases and period in which such customers bought: both by their first day.
cohort_periods = Table(
    "cohort_periods",
    metadata,
    identifier("interval"),
    Column("cohort", Date, nullable=False),
    Column("period", Date, nullable=False),
    Column("buyers", BigInteger, nullable=False, server_default="0"),
    Column("purchase_minor", Numeric(), nullable=False, server_default="0"),
    Column("purchases_unrated", Numeric(), nullable=False, server_default="0"),
    PrimaryKeyConstraint("interval", "cohort", "period"),
    CheckConstraint("period >= cohort", name="forward"),
    postgresql_with={"fillfactor": 70},
)
