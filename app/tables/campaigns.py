"""What was done to whom so that its worth can be measured: campaigns, arms, holdouts, and the initiatives they serve."""

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
    Table,
    Text,
    Uuid,
    text,
)

from app.tables.metadata import document, identifier, instant, metadata, one_of, short

HOLDOUT = "holdout"
GAINS = ("revenue", "margin")

# One row per piece of work whose return is asked for. baseline_from and baseline_to: what before is compared with; both
# null: nothing. margin_rate: share of revenue that is margin, where transactions do not say; null: they do. declared:
# the gain that somebody vouches for, with who and why; null: nobody does.
initiatives = Table(
    "initiatives",
    metadata,
    identifier("initiative_id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("objective", Text, nullable=False),
    document("target"),
    instant("starts_at"),
    instant("ends_at"),
    instant("baseline_from", nullable=True),
    instant("baseline_to", nullable=True),
    identifier("value"),
    Column("margin_rate", Double),
    document("declared", nullable=True, default=None),
    instant("created_at", defaults_to_now=True),
    one_of("value", GAINS),
    short("initiative_id"),
    CheckConstraint("ends_at > starts_at", name="window_forward"),
    CheckConstraint("(baseline_from is null) = (baseline_to is null)", name="baseline_whole"),
    CheckConstraint("baseline_to > baseline_from", name="baseline_forward"),
    CheckConstraint("margin_rate > 0 and margin_rate <= 1", name="margin_rate_is_one"),
)

# One row per campaign. segment_id: whose members it is for; null: arms are assigned elsewhere and pushed. variants: the
# arms besides the holdout, each with its share of those assigned; the shares and holdout_share add up to 1.
# outcome_window_days: how long after their assignment what customers do counts; null: until the campaign ends.
# frequency_cap: at most so many exposures in so many days, other campaigns included; null: no cap.
campaigns = Table(
    "campaigns",
    metadata,
    identifier("campaign_id", primary_key=True),
    Column("name", Text, nullable=False),
    Column("objective", Text, nullable=False),
    identifier("channel", nullable=True),
    Column("segment_id", Uuid, ForeignKey("segments.segment_id")),
    instant("starts_at"),
    instant("ends_at"),
    Column("holdout_share", Double, nullable=False),
    document("variants", default="[]"),
    document("metrics", default="[]"),
    Column("outcome_window_days", Integer),
    Column("initiative_id", Text(collation="C"), ForeignKey("initiatives.initiative_id")),
    document("frequency_cap", nullable=True, default=None),
    document("excluded_segment_ids", default="[]"),
    instant("created_at", defaults_to_now=True),
    short("campaign_id"),
    CheckConstraint("ends_at > starts_at", name="window_forward"),
    CheckConstraint("holdout_share >= 0 and holdout_share < 1", name="holdout_share_is_one"),
    CheckConstraint("outcome_window_days > 0", name="outcome_window_positive"),
    Index(None, "segment_id"),
    Index(None, "initiative_id"),
    Index("ix_campaigns_created", text("created_at desc"), text("campaign_id desc")),
)

# One row per customer and campaign: the arm, decided once and for ever. customer_id null: erased since, so that nobody
# knows what they did; they count in no result and are reported. Names that were merged since stay as they were: results
# follow the aliases. exposed_at: when an arm other than the holdout was first handed out; null: not yet. external: pushed.
# crossed_over: another arm was pushed for them later and refused. No foreign key to campaigns: its check costs three times
# the whole insert of a million; both write paths lock the campaign's row, and campaigns are never deleted.
campaign_assignments = Table(
    "campaign_assignments",
    metadata,
    Column("assignment_id", BigInteger, Identity(always=True), primary_key=True),
    identifier("campaign_id"),
    identifier("customer_id", nullable=True),
    identifier("arm"),
    instant("assigned_at"),
    instant("exposed_at", nullable=True),
    Column("external", Boolean, nullable=False, server_default=text("false")),
    Column("crossed_over", Boolean, nullable=False, server_default=text("false")),
    Index(
        "ix_campaign_assignments_unit",
        "campaign_id",
        "customer_id",
        unique=True,
        postgresql_include=["arm", "assigned_at", "crossed_over"],
        postgresql_where=text("customer_id is not null"),
    ),
    Index(
        "ix_campaign_assignments_customer",
        "customer_id",
        "exposed_at",
        postgresql_where=text("customer_id is not null"),
    ),
    Index("ix_campaign_assignments_erased", "campaign_id", postgresql_where=text("customer_id is null")),
)

# One row per stretch of time in which a share of all customers is kept out of every campaign; ends_at null: still so.
global_holdouts = Table(
    "global_holdouts",
    metadata,
    Column("holdout_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("share", Double, nullable=False),
    instant("starts_at"),
    instant("ends_at", nullable=True),
    instant("created_at", defaults_to_now=True),
    CheckConstraint("share > 0 and share < 1", name="share_is_one"),
    CheckConstraint("ends_at is null or ends_at > starts_at", name="range_forward"),
    Index("ix_global_holdouts_open", text("(ends_at is null)"), unique=True, postgresql_where=text("ends_at is null")),
)
