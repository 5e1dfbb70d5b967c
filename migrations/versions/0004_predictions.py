"""Models that predict what customers will do, what they say of everybody, and when each served."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "predictive_models",
        sa.Column("model_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column("algorithm", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("artifact_id", sa.Uuid(), nullable=True),
        sa.Column(
            "evaluation",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("monitoring", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("continues", sa.Uuid(), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('churn', 'clv')", name=op.f("ck_predictive_models_kind_known")),
        sa.CheckConstraint(
            "status = 'training' or artifact_id is not null", name=op.f("ck_predictive_models_learned_unless_training")
        ),
        sa.CheckConstraint(
            "status in ('training', 'candidate', 'active', 'archived')", name=op.f("ck_predictive_models_status_known")
        ),
        sa.ForeignKeyConstraint(["artifact_id"], ["models.model_id"], name=op.f("fk_predictive_models_artifact_id")),
        sa.ForeignKeyConstraint(
            ["continues"], ["predictive_models.model_id"], name=op.f("fk_predictive_models_continues")
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_predictive_models")),
    )
    op.create_index(
        "ix_predictive_models_created",
        "predictive_models",
        ["kind", sa.literal_column("created_at desc"), sa.literal_column("model_id desc")],
        unique=False,
    )
    op.create_index(
        "ix_predictive_models_one_active",
        "predictive_models",
        ["kind"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "churn_scores",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("churn_probability", sa.Double(), nullable=False),
        sa.Column("expected_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("value_at_risk_minor", sa.BigInteger(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("churn_probability between 0 and 1", name=op.f("ck_churn_scores_churn_probability_is_one")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["predictive_models.model_id"], name=op.f("fk_churn_scores_model_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "customer_id", name=op.f("pk_churn_scores")),
    )
    op.create_index(
        "ix_churn_scores_at_risk",
        "churn_scores",
        [
            "model_id",
            sa.literal_column("value_at_risk_minor desc nulls last"),
            sa.literal_column("churn_probability desc"),
            "customer_id",
        ],
        unique=False,
    )
    op.create_index("ix_churn_scores_customer", "churn_scores", ["customer_id"], unique=False)
    op.create_table(
        "clv_equity",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("customers", sa.BigInteger(), nullable=False),
        sa.Column("equity_minor", sa.BigInteger(), nullable=False),
        sa.Column("low_minor", sa.BigInteger(), nullable=True),
        sa.Column("high_minor", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["predictive_models.model_id"], name=op.f("fk_clv_equity_model_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["segment_id"], ["segments.segment_id"], name=op.f("fk_clv_equity_segment_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "model_id",
            "measured_at",
            "segment_id",
            name=op.f("uq_clv_equity_model_id_measured_at_segment_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_clv_equity_segment", "clv_equity", ["segment_id"], unique=False)
    op.create_table(
        "clv_scores",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Text(collation="C"), nullable=False),
        sa.Column("p_alive", sa.Double(), nullable=False),
        sa.Column("expected_purchases", sa.Double(), nullable=False),
        sa.Column("expected_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("clv_minor", sa.BigInteger(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("expected_purchases >= 0", name=op.f("ck_clv_scores_expected_purchases_not_negative")),
        sa.CheckConstraint("p_alive between 0 and 1", name=op.f("ck_clv_scores_p_alive_is_one")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["predictive_models.model_id"], name=op.f("fk_clv_scores_model_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "customer_id", name=op.f("pk_clv_scores")),
    )
    op.create_index("ix_clv_scores_customer", "clv_scores", ["customer_id"], unique=False)
    op.create_index(
        "ix_clv_scores_value",
        "clv_scores",
        ["model_id", sa.literal_column("clv_minor desc nulls last"), "customer_id"],
        unique=False,
    )
    op.create_table(
        "model_activations",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("active_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_to", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('churn', 'clv')", name=op.f("ck_model_activations_kind_known")),
        sa.CheckConstraint(
            "active_to is null or active_to > active_from", name=op.f("ck_model_activations_range_forward")
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["predictive_models.model_id"], name=op.f("fk_model_activations_model_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("kind", "active_from", name=op.f("pk_model_activations")),
    )
    op.create_index(
        "ix_model_activations_open",
        "model_activations",
        ["kind"],
        unique=True,
        postgresql_where=sa.text("active_to is null"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_model_activations_open", table_name="model_activations", postgresql_where=sa.text("active_to is null")
    )
    op.drop_table("model_activations")
    op.drop_index("ix_clv_scores_value", table_name="clv_scores")
    op.drop_index("ix_clv_scores_customer", table_name="clv_scores")
    op.drop_table("clv_scores")
    op.drop_index("ix_clv_equity_segment", table_name="clv_equity")
    op.drop_table("clv_equity")
    op.drop_index("ix_churn_scores_customer", table_name="churn_scores")
    op.drop_index("ix_churn_scores_at_risk", table_name="churn_scores")
    op.drop_table("churn_scores")
    op.drop_index(
        "ix_predictive_models_one_active", table_name="predictive_models", postgresql_where=sa.text("status = 'active'")
    )
    op.drop_index("ix_predictive_models_created", table_name="predictive_models")
    op.drop_table("predictive_models")
