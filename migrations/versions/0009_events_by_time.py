"""Events can be found by when they happened and by when they came in, at next to no cost to those who send them."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        "create index ix_events_times on events using brin (occurred_at, received_at)"
        " with (pages_per_range = 32, autosummarize = on)"
    )


def downgrade() -> None:
    op.execute("drop index ix_events_times")
