"""Who the customers are: one row each, and the other names they are known by."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, PrimaryKeyConstraint, Table, Text

from app.tables.metadata import document, identifier, instant, metadata, short

# One row per customer. A null consent flag means that nobody was asked. The attributes hold since attributes_since;
# null: none were ever given.
customers = Table(
    "customers",
    metadata,
    identifier("customer_id", primary_key=True),
    document("attributes"),
    instant("attributes_since", nullable=True),
    Column("consent_profiling", Boolean),
    Column("consent_marketing", Boolean),
    instant("created_at", nullable=True),
    instant("updated_at", nullable=True),
    instant("first_seen_at", defaults_to_now=True),
    instant("changed_at", defaults_to_now=True),
    short("customer_id"),
    CheckConstraint("jsonb_typeof(attributes) = 'object'", name="attributes_object"),
)

# One row per customer and stretch of time [valid_from, valid_to) with attributes that no longer hold, so that any past
# day can be asked again. What holds now stands at the customer.
past_attributes = Table(
    "past_attributes",
    metadata,
    identifier("customer_id"),
    instant("valid_from"),
    instant("valid_to"),
    document("attributes"),
    PrimaryKeyConstraint("customer_id", "valid_from"),
    CheckConstraint("valid_to > valid_from", name="range_forward"),
)

# One row per name that now means another customer: left behind by a merge, followed by every later push.
customer_aliases = Table(
    "customer_aliases",
    metadata,
    identifier("alias", primary_key=True),
    Column(
        "customer_id",
        Text(collation="C"),
        ForeignKey("customers.customer_id", ondelete="CASCADE", onupdate="CASCADE"),
        nullable=False,
    ),
    instant("merged_at", defaults_to_now=True),
    CheckConstraint("alias <> customer_id", name="alias_not_itself"),
    Index(None, "customer_id"),
)
