"""Models that predict what customers will do: their life, what they say of everybody now, and what that adds up to."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from app.tables.metadata import document, identifier, instant, metadata, one_of

PREDICTION_KINDS = ("churn", "clv")
PREDICTION_STATUSES = ("training", "candidate", "active", "archived")

# One row per model that was asked for; at most one of a kind is active. What was learned is the artifact; null until
# then. It learned from facts before as_of. Everybody was scored at scored_at; null: nobody yet. monitoring: how it has
# fared since, null until somebody looked. continues: the model whose training this repeats.
predictive_models = Table(
    "predictive_models",
    metadata,
    Column("model_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    identifier("kind"),
    Column("name", Text),
    identifier("status"),
    identifier("algorithm"),
    document("request"),
    Column("job_id", Uuid),
    Column("artifact_id", Uuid, ForeignKey("models.model_id")),
    document("evaluation"),
    document("monitoring", nullable=True, default=None),
    Column("continues", Uuid, ForeignKey("predictive_models.model_id")),
    instant("as_of"),
    instant("created_at", defaults_to_now=True),
    instant("trained_at", nullable=True),
    instant("scored_at", nullable=True),
    one_of("kind", PREDICTION_KINDS),
    one_of("status", PREDICTION_STATUSES),
    CheckConstraint("status = 'training' or artifact_id is not null", name="learned_unless_training"),
    Index(
        "ix_predictive_models_one_active",
        "kind",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
    Index("ix_predictive_models_created", "kind", text("created_at desc"), text("model_id desc")),
)

# One row per stretch of time [active_from, active_to) in which a model served; active_to null: it still does.
model_activations = Table(
    "model_activations",
    metadata,
    Column("model_id", Uuid, ForeignKey("predictive_models.model_id", ondelete="CASCADE"), nullable=False),
    identifier("kind"),
    instant("active_from"),
    instant("active_to", nullable=True),
    PrimaryKeyConstraint("kind", "active_from"),
    one_of("kind", PREDICTION_KINDS),
    CheckConstraint("active_to is null or active_to > active_from", name="range_forward"),
    Index("ix_model_activations_open", "kind", unique=True, postgresql_where=text("active_to is null")),
)

# One row per customer and model, as of scored_at. expected_value_minor: what the customer would spend over the horizon,
# in the reporting currency; value_at_risk_minor: churn_probability times that. Null where that is unknown.
churn_scores = Table(
    "churn_scores",
    metadata,
    Column("model_id", Uuid, ForeignKey("predictive_models.model_id", ondelete="CASCADE"), nullable=False),
    identifier("customer_id"),
    Column("churn_probability", Double, nullable=False),
    Column("expected_value_minor", BigInteger),
    Column("value_at_risk_minor", BigInteger),
    instant("scored_at"),
    PrimaryKeyConstraint("model_id", "customer_id"),
    CheckConstraint("churn_probability between 0 and 1", name="churn_probability_is_one"),
    Index(
        "ix_churn_scores_at_risk",
        "model_id",
        text("value_at_risk_minor desc nulls last"),
        text("churn_probability desc"),
        "customer_id",
    ),
    Index("ix_churn_scores_customer", "customer_id"),
)

# One row per customer who ever bought and model, as of scored_at, over the horizon of the model. Money in the reporting
# currency; expected_value_minor: of one purchase; clv_minor: of all expected ones, discounted. Null: not determined.
clv_scores = Table(
    "clv_scores",
    metadata,
    Column("model_id", Uuid, ForeignKey("predictive_models.model_id", ondelete="CASCADE"), nullable=False),
    identifier("customer_id"),
    Column("p_alive", Double, nullable=False),
    Column("expected_purchases", Double, nullable=False),
    Column("expected_value_minor", BigInteger),
    Column("clv_minor", BigInteger),
    instant("scored_at"),
    PrimaryKeyConstraint("model_id", "customer_id"),
    CheckConstraint("p_alive between 0 and 1", name="p_alive_is_one"),
    CheckConstraint("expected_purchases >= 0", name="expected_purchases_not_negative"),
    Index("ix_clv_scores_customer", "customer_id"),
    Index("ix_clv_scores_value", "model_id", text("clv_minor desc nulls last"), "customer_id"),
)

# One row per time everybody was scored and segment, and one for everybody, whose segment_id is null: what the customers
# in it were expected to be worth. Low and high null: no interval.
clv_equity = Table(
    "clv_equity",
    metadata,
    Column("model_id", Uuid, ForeignKey("predictive_models.model_id", ondelete="CASCADE"), nullable=False),
    instant("measured_at"),
    Column("segment_id", Uuid, ForeignKey("segments.segment_id", ondelete="CASCADE")),
    Column("customers", BigInteger, nullable=False),
    Column("equity_minor", BigInteger, nullable=False),
    Column("low_minor", BigInteger),
    Column("high_minor", BigInteger),
    UniqueConstraint("model_id", "measured_at", "segment_id", postgresql_nulls_not_distinct=True),
    Index("ix_clv_equity_segment", "segment_id"),
)
