"""Pages of memberships keep room: confirming one then rewrites its row beside itself and touches no index."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("alter table memberships set (fillfactor = 80)")


def downgrade() -> None:
    op.execute("alter table memberships reset (fillfactor)")
