"""What remains of the erased: a keyed hash that keeps them away, and a receipt."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Table, Uuid, text
from sqlalchemy.dialects.postgresql import BYTEA

from app.tables.metadata import document, instant, metadata

# The advisory lock that merges and erasures take whole, and everybody shares who writes of customers by name.
PEOPLE_LOCK = 7_355_608_010

# One row per erased identifier: a keyed hash, from which the identifier cannot be read back.
tombstones = Table(
    "tombstones",
    metadata,
    Column("customer_hash", BYTEA, primary_key=True),
    Column("receipt_id", Uuid, nullable=False),
    instant("erased_at", defaults_to_now=True),
)

# One row per erasure: how many rows were removed and how many stay without a name, by table.
erasure_receipts = Table(
    "erasure_receipts",
    metadata,
    Column("receipt_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    document("removed"),
    document("kept_anonymous"),
    instant("erased_at", defaults_to_now=True),
)

# Exactly one row. The epoch moves with every merge and erasure: what a process remembers about customers
# (which exist, which batches are known) is good for one epoch only.
privacy_state = Table(
    "privacy_state",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("only_row", name="only_row"),
)
