"""Fitted models: their bytes, what guards them, and where they come from."""

from sqlalchemy import BigInteger, Column, Table, Uuid, text
from sqlalchemy.dialects.postgresql import BYTEA

from app.tables.metadata import document, identifier, instant, metadata, one_of

MODEL_KINDS = ("segmentation", "churn", "clv")

# One row per fitted model, never changed. signature is a keyed hash over content and what stands beside it; libraries
# names the versions it was fitted with, fingerprint the data. It learned from facts of [window_from, window_to);
# window_from null: from the first fact on.
models = Table(
    "models",
    metadata,
    Column("model_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    identifier("kind"),
    identifier("algorithm"),
    identifier("format"),
    Column("content", BYTEA, nullable=False),
    Column("signature", BYTEA, nullable=False),
    document("libraries"),
    identifier("fingerprint"),
    Column("customers", BigInteger, nullable=False),
    instant("window_from", nullable=True),
    instant("window_to"),
    Column("seed", BigInteger),
    instant("created_at", defaults_to_now=True),
    one_of("kind", MODEL_KINDS),
)
