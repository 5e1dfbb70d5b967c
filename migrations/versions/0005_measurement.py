"""Campaigns with their arms and holdouts, and the initiatives whose return is asked for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "global_holdouts",
        sa.Column("holdout_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("ends_at is null or ends_at > starts_at", name=op.f("ck_global_holdouts_range_forward")),
        sa.CheckConstraint("share > 0 and share < 1", name=op.f("ck_global_holdouts_share_is_one")),
        sa.PrimaryKeyConstraint("holdout_id", name=op.f("pk_global_holdouts")),
    )
    op.create_index(
        "ix_global_holdouts_open",
        "global_holdouts",
        [sa.literal_column("(ends_at is null)")],
        unique=True,
        postgresql_where=sa.text("ends_at is null"),
    )
    op.create_table(
        "initiatives",
        sa.Column("initiative_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column(
            "target", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("baseline_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("baseline_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("value", sa.Text(collation="C"), nullable=False),
        sa.Column("margin_rate", sa.Double(), nullable=True),
        sa.Column("declared", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("value in ('revenue', 'margin')", name=op.f("ck_initiatives_value_known")),
        sa.CheckConstraint(
            "(baseline_from is null) = (baseline_to is null)", name=op.f("ck_initiatives_baseline_whole")
        ),
        sa.CheckConstraint("baseline_to > baseline_from", name=op.f("ck_initiatives_baseline_forward")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_initiatives_window_forward")),
        sa.CheckConstraint("margin_rate > 0 and margin_rate <= 1", name=op.f("ck_initiatives_margin_rate_is_one")),
        sa.CheckConstraint(
            "octet_length(initiative_id) between 1 and 1020", name=op.f("ck_initiatives_initiative_id_length")
        ),
        sa.PrimaryKeyConstraint("initiative_id", name=op.f("pk_initiatives")),
    )
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=True),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holdout_share", sa.Double(), nullable=False),
        sa.Column(
            "variants", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.Column(
            "metrics", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.Column("outcome_window_days", sa.Integer(), nullable=True),
        sa.Column("initiative_id", sa.Text(collation="C"), nullable=True),
        sa.Column("frequency_cap", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column(
            "excluded_segment_ids",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_campaigns_window_forward")),
        sa.CheckConstraint("holdout_share >= 0 and holdout_share < 1", name=op.f("ck_campaigns_holdout_share_is_one")),
        sa.CheckConstraint(
            "octet_length(campaign_id) between 1 and 1020", name=op.f("ck_campaigns_campaign_id_length")
        ),
        sa.CheckConstraint("outcome_window_days > 0", name=op.f("ck_campaigns_outcome_window_positive")),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiatives.initiative_id"], name=op.f("fk_campaigns_initiative_id")
        ),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.segment_id"], name=op.f("fk_campaigns_segment_id")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        "ix_campaigns_created",
        "campaigns",
        [sa.literal_column("created_at desc"), sa.literal_column("campaign_id desc")],
        unique=False,
    )
    op.create_index(op.f("ix_campaigns_initiative_id"), "campaigns", ["initiative_id"], unique=False)
    op.create_index(op.f("ix_campaigns_segment_id"), "campaigns", ["segment_id"], unique=False)
    op.create_table(
        "campaign_assignments",
        sa.Column("assignment_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True),
        sa.Column("arm", sa.Text(collation="C"), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("exposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("external", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("crossed_over", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_campaign_assignments")),
    )
    op.create_index(
        "ix_campaign_assignments_customer",
        "campaign_assignments",
        ["customer_id", "exposed_at"],
        unique=False,
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.create_index(
        "ix_campaign_assignments_erased",
        "campaign_assignments",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("customer_id is null"),
    )
    op.create_index(
        "ix_campaign_assignments_unit",
        "campaign_assignments",
        ["campaign_id", "customer_id"],
        unique=True,
        postgresql_where=sa.text("customer_id is not null"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_campaign_assignments_unit",
        table_name="campaign_assignments",
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.drop_index(
        "ix_campaign_assignments_customer",
        table_name="campaign_assignments",
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.drop_index(
        "ix_campaign_assignments_erased",
        table_name="campaign_assignments",
        postgresql_where=sa.text("customer_id is null"),
    )
    op.drop_table("campaign_assignments")
    op.drop_index(op.f("ix_campaigns_segment_id"), table_name="campaigns")
    op.drop_index(op.f("ix_campaigns_initiative_id"), table_name="campaigns")
    op.drop_index("ix_campaigns_created", table_name="campaigns")
    op.drop_table("campaigns")
    op.drop_table("initiatives")
    op.drop_index("ix_global_holdouts_open", table_name="global_holdouts", postgresql_where=sa.text("ends_at is null"))
    op.drop_table("global_holdouts")
