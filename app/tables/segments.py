"""Segmentations, their versions, their segments, and who was in which over which time."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from app.tables.metadata import document, identifier, instant, metadata, one_of

METHODS = ("rfm", "kmeans", "gaussian_mixture", "hierarchical", "dbscan", "decision_tree", "rules")
EXCEPTIONS = ("include", "exclude")
VERSION_STATUSES = ("candidate", "active", "archived")

# One row per segmentation: a name, a method, and how it was asked for.
segmentations = Table(
    "segmentations",
    metadata,
    Column("segmentation_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("name", Text, nullable=False, unique=True),
    identifier("method"),
    document("request"),
    instant("created_at", defaults_to_now=True),
    one_of("method", METHODS),
)

# One row per fitted version; at most one of a segmentation is active. What was learned is in the model of model_id; in
# `model`, as plain numbers, where the version is older than the registry. profile says by segment key what its
# members were like when everybody was last evaluated, or at the training; matching how its segments continue those of
# the version before. Everybody was evaluated at refreshed_at or later; null: nobody yet.
segmentation_versions = Table(
    "segmentation_versions",
    metadata,
    Column(
        "segmentation_id",
        Uuid,
        ForeignKey("segmentations.segmentation_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("version", Integer, primary_key=True),
    identifier("status"),
    instant("trained_at"),
    instant("as_of"),
    document("features"),
    document("params"),
    document("model"),
    document("evaluation"),
    document("profile"),
    document("matching"),
    Column("model_id", Uuid, ForeignKey("models.model_id")),
    instant("activated_at", nullable=True),
    instant("refreshed_at", nullable=True),
    one_of("status", VERSION_STATUSES),
    CheckConstraint("version >= 1", name="version_counts_from_one"),
    Index(
        "ix_segmentation_versions_one_active",
        "segmentation_id",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
)

# One row per segment; its key and id stay the same across versions.
segments = Table(
    "segments",
    metadata,
    Column("segment_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("segmentation_id", Uuid, ForeignKey("segmentations.segmentation_id", ondelete="CASCADE"), nullable=False),
    identifier("key"),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),
    UniqueConstraint("segmentation_id", "key"),
    UniqueConstraint("segmentation_id", "segment_id"),
)

# One row per customer, segmentation and stretch of time [valid_from, valid_to) in which segment, version and reason
# stayed the same; valid_to null: still so. since: when the customer entered this segment, whatever reasons it had
# in between. evaluated_at: when this was last found to be so, besides the version's refreshed_at (ADR 0010).
# No foreign keys, for the reason given at transactions; versions and segments with members are never deleted.
memberships = Table(
    "memberships",
    metadata,
    identifier("customer_id"),
    Column("segmentation_id", Uuid, nullable=False),
    Column("segment_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    instant("valid_from"),
    instant("valid_to", nullable=True),
    instant("since"),
    instant("evaluated_at"),
    Column("confidence", Double),
    document("reason"),
    # The key is natural: a surrogate would be one more index to write when millions change.
    PrimaryKeyConstraint("customer_id", "segmentation_id", "valid_from"),
    CheckConstraint("valid_to is null or valid_to > valid_from", name="range_forward"),
    Index(
        "ix_memberships_current",
        "customer_id",
        "segmentation_id",
        unique=True,
        postgresql_where=text("valid_to is null"),
    ),
    # Of open ranges only: closing one then writes no index but the key.
    Index("ix_memberships_segment", "segment_id", "customer_id", postgresql_where=text("valid_to is null")),
    # Every evaluation writes evaluated_at: with room beside it a row is rewritten without touching an index.
    postgresql_with={"fillfactor": 80},
)

# One row per customer whom the rules of a segment do not decide about, because somebody did: in it, or out of it.
segment_exceptions = Table(
    "segment_exceptions",
    metadata,
    Column("segmentation_id", Uuid, ForeignKey("segmentations.segmentation_id", ondelete="CASCADE"), nullable=False),
    identifier("key"),
    identifier("customer_id"),
    identifier("effect"),
    PrimaryKeyConstraint("segmentation_id", "key", "customer_id"),
    one_of("effect", EXCEPTIONS),
    Index("ix_segment_exceptions_customer", "customer_id"),
)

# One row per customer whom time alone may move: the first instant at which a feature that an active version reads
# changes without a new fact.
evaluations_due = Table(
    "evaluations_due",
    metadata,
    identifier("customer_id", primary_key=True),
    instant("due_at"),
    Index("ix_evaluations_due_at", "due_at"),
)

# Exactly one row: the newest fact of any evaluated customer, to the hour; null: there was none yet.
feed_state = Table(
    "feed_state",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    instant("newest_fact_at", nullable=True),
    CheckConstraint("only_row", name="only_row"),
)

# One row per customer who left a segment, entered one, or both, in order; kept until everybody who asked to be told
# has it among what is to be delivered to them.
membership_changes = Table(
    "membership_changes",
    metadata,
    Column("change_id", BigInteger, Identity(always=True), primary_key=True),
    identifier("customer_id"),
    Column("segmentation_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("left_segment_id", Uuid),
    Column("entered_segment_id", Uuid),
    instant("changed_at"),
    CheckConstraint("num_nonnulls(left_segment_id, entered_segment_id) > 0", name="something_changed"),
)
