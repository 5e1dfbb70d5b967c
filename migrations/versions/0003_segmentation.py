"""Fitted models, past attributes, due evaluations, changes of memberships and who is told of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "evaluations_due",
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_evaluations_due")),
    )
    op.create_index("ix_evaluations_due_at", "evaluations_due", ["due_at"], unique=False)
    op.create_table(
        "membership_changes",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("segmentation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("left_segment_id", sa.Uuid(), nullable=True),
        sa.Column("entered_segment_id", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "num_nonnulls(left_segment_id, entered_segment_id) > 0",
            name=op.f("ck_membership_changes_something_changed"),
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_membership_changes")),
    )
    op.create_table(
        "models",
        sa.Column("model_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("algorithm", sa.Text(collation="C"), nullable=False),
        sa.Column("format", sa.Text(collation="C"), nullable=False),
        sa.Column("content", postgresql.BYTEA(), nullable=False),
        sa.Column("signature", postgresql.BYTEA(), nullable=False),
        sa.Column(
            "libraries", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("fingerprint", sa.Text(collation="C"), nullable=False),
        sa.Column("customers", sa.BigInteger(), nullable=False),
        sa.Column("window_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("window_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('segmentation', 'churn', 'clv')", name=op.f("ck_models_kind_known")),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_models")),
    )
    op.create_table(
        "past_attributes",
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "attributes",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.CheckConstraint("valid_to > valid_from", name=op.f("ck_past_attributes_range_forward")),
        sa.PrimaryKeyConstraint("customer_id", "valid_from", name=op.f("pk_past_attributes")),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("endpoint_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("segment_ids", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("secret_generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "segment_exceptions",
        sa.Column("segmentation_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("effect", sa.Text(collation="C"), nullable=False),
        sa.CheckConstraint("effect in ('include', 'exclude')", name=op.f("ck_segment_exceptions_effect_known")),
        sa.ForeignKeyConstraint(
            ["segmentation_id"],
            ["segmentations.segmentation_id"],
            name=op.f("fk_segment_exceptions_segmentation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segmentation_id", "key", "customer_id", name=op.f("pk_segment_exceptions")),
    )
    op.create_index("ix_segment_exceptions_customer", "segment_exceptions", ["customer_id"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("event", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_status_known")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.endpoint_id"],
            name=op.f("fk_webhook_deliveries_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index("ix_webhook_deliveries_customer", "webhook_deliveries", ["customer_id"], unique=False)
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "next_attempt_at", "delivery_id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint", "webhook_deliveries", ["endpoint_id", "delivery_id"], unique=False
    )
    op.create_table(
        "feed_state",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("newest_fact_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("only_row", name=op.f("ck_feed_state_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_feed_state")),
    )
    op.execute(
        "insert into feed_state (newest_fact_at) "
        "select greatest((select max(occurred_at) from transactions where occurred_at < now()), "
        "(select max(occurred_at) from events where occurred_at < now()))"
    )
    op.add_column("customers", sa.Column("attributes_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "update customers set attributes_since = least(coalesce(updated_at, changed_at), now()) where attributes <> '{}'"
    )
    op.drop_constraint("ck_segmentations_method_known", "segmentations")
    op.create_check_constraint(
        op.f("ck_segmentations_method_known"),
        "segmentations",
        "method in ('rfm', 'kmeans', 'gaussian_mixture', 'hierarchical', 'dbscan', 'decision_tree', 'rules')",
    )
    op.add_column(
        "segmentation_versions",
        sa.Column(
            "matching", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
    )
    op.add_column("segmentation_versions", sa.Column("model_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_segmentation_versions_model_id"), "segmentation_versions", "models", ["model_id"], ["model_id"]
    )


def downgrade() -> None:
    op.execute("delete from segmentations where method <> 'rfm'")
    op.drop_constraint("ck_segmentations_method_known", "segmentations")
    op.create_check_constraint(op.f("ck_segmentations_method_known"), "segmentations", "method in ('rfm')")
    op.drop_constraint(op.f("fk_segmentation_versions_model_id"), "segmentation_versions", type_="foreignkey")
    op.drop_column("segmentation_versions", "model_id")
    op.drop_column("segmentation_versions", "matching")
    op.drop_column("customers", "attributes_since")
    op.drop_index("ix_webhook_deliveries_endpoint", table_name="webhook_deliveries")
    op.drop_index(
        "ix_webhook_deliveries_due", table_name="webhook_deliveries", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_index("ix_webhook_deliveries_customer", table_name="webhook_deliveries")
    op.drop_table("webhook_deliveries")
    op.drop_index("ix_segment_exceptions_customer", table_name="segment_exceptions")
    op.drop_table("segment_exceptions")
    op.drop_table("webhook_endpoints")
    op.drop_table("past_attributes")
    op.drop_table("models")
    op.drop_table("membership_changes")
    op.drop_index("ix_evaluations_due_at", table_name="evaluations_due")
    op.drop_table("evaluations_due")
    op.drop_table("feed_state")
