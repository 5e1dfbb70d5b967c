"""Refused exposures are kept like other refused rows, and a campaign's arms are read in order from one index."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BEFORE = "kind in ('customers', 'transactions', 'events', 'costs', 'exchange_rates')"
AFTER = "kind in ('customers', 'transactions', 'events', 'costs', 'exchange_rates', 'exposures')"


def upgrade() -> None:
    _allow(AFTER)
    _index(["arm", "assigned_at", "crossed_over"])


def downgrade() -> None:
    _index(None)
    # What the older version cannot hold, try or show goes with it.
    op.execute("delete from rejections where kind = 'exposures'")
    _allow(BEFORE)


def _allow(kinds: str) -> None:
    op.drop_constraint(op.f("ck_rejections_kind_known"), "rejections", type_="check")
    op.create_check_constraint(op.f("ck_rejections_kind_known"), "rejections", kinds)


def _index(included: list[str] | None) -> None:
    op.drop_index("ix_campaign_assignments_unit", table_name="campaign_assignments")
    op.create_index(
        "ix_campaign_assignments_unit",
        "campaign_assignments",
        ["campaign_id", "customer_id"],
        unique=True,
        postgresql_include=included,
        postgresql_where=sa.text("customer_id is not null"),
    )
