"""The first schema: records, privacy, segments, operations, jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", postgresql.BYTEA(), nullable=False),
        sa.Column("hint", sa.Text(collation="C"), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )
    op.create_table(
        "audit_log",
        sa.Column("entry_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(collation="C"), nullable=False),
        sa.Column("object", sa.Text(collation="C"), nullable=True),
        sa.Column("request_id", sa.Text(collation="C"), nullable=True),
        sa.Column(
            "details", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "costs",
        sa.Column("cost_id", sa.Text(collation="C"), nullable=False),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=True),
        sa.Column("initiative_id", sa.Text(collation="C"), nullable=True),
        sa.Column("channel", sa.Text(collation="C"), nullable=True),
        sa.Column("category", sa.Text(collation="C"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "category in ('media', 'technology', 'development', 'people', 'compliance', 'incentive', 'other')",
            name=op.f("ck_costs_category_known"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_costs_amount_not_negative")),
        sa.CheckConstraint("ends_on > starts_on", name=op.f("ck_costs_window_forward")),
        sa.PrimaryKeyConstraint("cost_id", name=op.f("pk_costs")),
    )
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "attributes",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("consent_profiling", sa.Boolean(), nullable=True),
        sa.Column("consent_marketing", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("jsonb_typeof(attributes) = 'object'", name=op.f("ck_customers_attributes_object")),
        sa.CheckConstraint(
            "octet_length(customer_id) between 1 and 1020", name=op.f("ck_customers_customer_id_length")
        ),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customers")),
    )
    op.create_table(
        "dirty_customers",
        sa.Column("batch_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_ids", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_dirty_customers")),
    )
    op.create_table(
        "erasure_receipts",
        sa.Column("receipt_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "removed", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "kept_anonymous",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("receipt_id", name=op.f("pk_erasure_receipts")),
    )
    op.create_table(
        "events",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel", sa.Text(collation="C"), nullable=True),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column(
            "properties",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("type ~ '^[a-z][a-z0-9_]*$'", name=op.f("ck_events_type_snake_case")),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_customer",
        "events",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.create_table(
        "exchange_rates",
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("from_currency", sa.CHAR(length=3), nullable=False),
        sa.Column("to_currency", sa.CHAR(length=3), nullable=False),
        sa.Column("rate", sa.Numeric(precision=24, scale=12), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("from_currency <> to_currency", name=op.f("ck_exchange_rates_currencies_differ")),
        sa.CheckConstraint("rate > 0", name=op.f("ck_exchange_rates_rate_positive")),
        sa.PrimaryKeyConstraint("on_day", "from_currency", "to_currency", name=op.f("pk_exchange_rates")),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "arguments", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("progress_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("progress_total", sa.BigInteger(), nullable=True),
        sa.Column("progress_unit", sa.Text(collation="C"), nullable=True),
        sa.Column("checkpoint", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at is not null) = (status in ('succeeded', 'failed', 'cancelled'))",
            name=op.f("ck_jobs_finished_when_over"),
        ),
        sa.CheckConstraint(
            "status in ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_status_known")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at_job_id"), "jobs", ["created_at", "job_id"], unique=False)
    op.create_table(
        "known_batches",
        sa.Column("digest", postgresql.BYTEA(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("privacy_epoch", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_known_batches")),
    )
    op.create_table(
        "memberships",
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("segmentation_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column(
            "reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.CheckConstraint("valid_to is null or valid_to > valid_from", name=op.f("ck_memberships_range_forward")),
        sa.PrimaryKeyConstraint("customer_id", "segmentation_id", "valid_from", name=op.f("pk_memberships")),
    )
    op.create_index(
        "ix_memberships_current",
        "memberships",
        ["customer_id", "segmentation_id"],
        unique=True,
        postgresql_where=sa.text("valid_to is null"),
    )
    op.create_index(
        "ix_memberships_segment",
        "memberships",
        ["segment_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("valid_to is null"),
    )
    op.create_table(
        "privacy_state",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("only_row", name=op.f("ck_privacy_state_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_privacy_state")),
    )
    op.create_table(
        "rejections",
        sa.Column("rejection_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=True),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("pointer", sa.Text(collation="C"), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True),
        sa.Column("payload", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind in ('customers', 'transactions', 'events', 'costs', 'exchange_rates')",
            name=op.f("ck_rejections_kind_known"),
        ),
        sa.CheckConstraint("status in ('open', 'resolved')", name=op.f("ck_rejections_status_known")),
        sa.PrimaryKeyConstraint("rejection_id", name=op.f("pk_rejections")),
    )
    op.create_index(
        "ix_rejections_customer",
        "rejections",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.create_table(
        "segmentations",
        sa.Column("segmentation_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("method in ('rfm')", name=op.f("ck_segmentations_method_known")),
        sa.PrimaryKeyConstraint("segmentation_id", name=op.f("pk_segmentations")),
        sa.UniqueConstraint("name", name=op.f("uq_segmentations_name")),
    )
    op.create_table(
        "tombstones",
        sa.Column("customer_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("receipt_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_hash", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "transaction_items",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("transaction_id", sa.Text(collation="C"), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Text(collation="C"), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=24, scale=6), nullable=False),
        sa.PrimaryKeyConstraint("source", "transaction_id", "line", name=op.f("pk_transaction_items")),
    )
    op.create_table(
        "transactions",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("transaction_id", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("margin_minor", sa.BigInteger(), nullable=True),
        sa.Column("refunds", sa.Text(collation="C"), nullable=True),
        sa.Column("channel", sa.Text(collation="C"), nullable=True),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=True),
        sa.Column("line_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('purchase', 'refund')", name=op.f("ck_transactions_kind_known")),
        sa.CheckConstraint("refunds is null or kind = 'refund'", name=op.f("ck_transactions_refunds_only_on_refunds")),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_transactions_amount_not_negative")),
        sa.PrimaryKeyConstraint("source", "transaction_id", name=op.f("pk_transactions")),
    )
    op.create_index(
        "ix_transactions_customer",
        "transactions",
        ["customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["amount_minor", "currency", "kind"],
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.create_table(
        "customer_aliases",
        sa.Column("alias", sa.Text(collation="C"), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("alias <> customer_id", name=op.f("ck_customer_aliases_alias_not_itself")),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name=op.f("fk_customer_aliases_customer_id"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_customer_aliases")),
    )
    op.create_index(op.f("ix_customer_aliases_customer_id"), "customer_aliases", ["customer_id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        sa.Column("body_digest", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column(
            "headers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("body", postgresql.BYTEA(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.key_id"], name=op.f("fk_idempotency_keys_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "path", "idempotency_key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "job_uploads",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.BYTEA(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name=op.f("fk_job_uploads_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "piece", name=op.f("pk_job_uploads")),
    )
    op.create_table(
        "segmentation_versions",
        sa.Column("segmentation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "features", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "params", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "model", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column(
            "evaluation",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "profile", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status in ('candidate', 'active', 'archived')", name=op.f("ck_segmentation_versions_status_known")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_segmentation_versions_version_counts_from_one")),
        sa.ForeignKeyConstraint(
            ["segmentation_id"],
            ["segmentations.segmentation_id"],
            name=op.f("fk_segmentation_versions_segmentation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segmentation_id", "version", name=op.f("pk_segmentation_versions")),
    )
    op.create_index(
        "ix_segmentation_versions_one_active",
        "segmentation_versions",
        ["segmentation_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "segments",
        sa.Column("segment_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("segmentation_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["segmentation_id"],
            ["segmentations.segmentation_id"],
            name=op.f("fk_segments_segmentation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_id", name=op.f("pk_segments")),
        sa.UniqueConstraint("segmentation_id", "key", name=op.f("uq_segments_segmentation_id_key")),
        sa.UniqueConstraint("segmentation_id", "segment_id", name=op.f("uq_segments_segmentation_id_segment_id")),
    )

    op.execute("insert into privacy_state default values")
    # Arrays of identifiers and pieces of files do not shrink enough to be worth the time of compressing them.
    op.execute("alter table dirty_customers alter column customer_ids set storage external")
    op.execute("alter table job_uploads alter column content set storage external")


def downgrade() -> None:
    op.drop_table("segments")
    op.drop_index(
        "ix_segmentation_versions_one_active",
        table_name="segmentation_versions",
        postgresql_where=sa.text("status = 'active'"),
    )
    op.drop_table("segmentation_versions")
    op.drop_table("job_uploads")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("ix_customer_aliases_customer_id"), table_name="customer_aliases")
    op.drop_table("customer_aliases")
    op.drop_index(
        "ix_transactions_customer",
        table_name="transactions",
        postgresql_include=["amount_minor", "currency", "kind"],
        postgresql_where=sa.text("customer_id is not null"),
    )
    op.drop_table("transactions")
    op.drop_table("transaction_items")
    op.drop_table("tombstones")
    op.drop_table("segmentations")
    op.drop_index(
        "ix_rejections_customer", table_name="rejections", postgresql_where=sa.text("customer_id is not null")
    )
    op.drop_table("rejections")
    op.drop_table("privacy_state")
    op.drop_index("ix_memberships_segment", table_name="memberships", postgresql_where=sa.text("valid_to is null"))
    op.drop_index("ix_memberships_current", table_name="memberships", postgresql_where=sa.text("valid_to is null"))
    op.drop_table("memberships")
    op.drop_table("known_batches")
    op.drop_index(op.f("ix_jobs_created_at_job_id"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("exchange_rates")
    op.drop_index("ix_events_customer", table_name="events", postgresql_where=sa.text("customer_id is not null"))
    op.drop_table("events")
    op.drop_table("erasure_receipts")
    op.drop_table("dirty_customers")
    op.drop_table("customers")
    op.drop_table("costs")
    op.drop_table("audit_log")
    op.drop_table("api_keys")
