"""The queue's own tables and functions, as its library ships them."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Handed to the driver as it is: the text holds % signs and colons that are not parameters.
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))


def downgrade() -> None:
    op.execute(
        """
        do $$
        declare thing record;
        begin
          for thing in select format('drop table if exists %I cascade', tablename) as statement
                         from pg_tables where schemaname = current_schema() and tablename like 'procrastinate\\_%'
          loop execute thing.statement; end loop;
          for thing in select format('drop function if exists %s cascade', oid::regprocedure) as statement
                         from pg_proc where pronamespace = current_schema()::regnamespace
                          and proname like 'procrastinate\\_%'
          loop execute thing.statement; end loop;
          for thing in select format('drop type if exists %I cascade', typname) as statement
                         from pg_type where typnamespace = current_schema()::regnamespace
                          and typname like 'procrastinate\\_%' and typtype in ('e', 'c')
          loop execute thing.statement; end loop;
        end $$
        """
    )
