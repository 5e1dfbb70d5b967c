"""Who may call, what they changed, and which answers were already given."""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from app.tables.metadata import document, identifier, instant, metadata

# One row per API key; only a hash of it is kept.
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False),
    Column("hash", BYTEA, nullable=False, unique=True),
    identifier("hint"),
    Column("scopes", ARRAY(Text(collation="C")), nullable=False),
    instant("created_at", defaults_to_now=True),
    instant("expires_at", nullable=True),
    instant("revoked_at", nullable=True),
)

# One row per change made by a key, written in the transaction of the change. A customer in `object` is named by
# keyed hash.
audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_id", BigInteger, Identity(always=True), primary_key=True),
    instant("at", defaults_to_now=True),
    Column("key_id", Uuid),
    identifier("action"),
    identifier("object", nullable=True),
    identifier("request_id", nullable=True),
    document("details"),
)

# One row per Idempotency-Key of an API key and path: the first answer, to be given again.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_id", Uuid, ForeignKey("api_keys.key_id", ondelete="CASCADE"), primary_key=True),
    identifier("path", primary_key=True),
    identifier("idempotency_key", primary_key=True),
    Column("body_digest", BYTEA, nullable=False),
    Column("status", Integer, nullable=False),
    document("headers"),
    Column("body", BYTEA, nullable=False),
    instant("created_at", defaults_to_now=True),
    Index(None, "created_at"),
)
