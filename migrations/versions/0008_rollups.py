"""Key figures added up by day, and triggers that keep the ledger of what has changed since."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = (
    """
    create table rollup_state (
      only_row boolean not null default true,
      currency char(3),
      zone text,
      first_fact_at timestamptz,
      newest_fact_at timestamptz,
      received_at timestamptz,
      constraint pk_rollup_state primary key (only_row),
      constraint ck_rollup_state_only_row check (only_row)
    )
    """,
    "insert into rollup_state default values",
    """
    create table rollup_entries (
      entry_id bigint generated always as identity,
      customer_ids text[] collate "C" not null default '{}',
      segmentation_id uuid,
      guest_hours timestamptz[] not null default '{}',
      first_fact_at timestamptz,
      newest_fact_at timestamptz,
      received_at timestamptz,
      rates_from date,
      rates_to date,
      recorded_at timestamptz not null default now(),
      constraint pk_rollup_entries primary key (entry_id)
    )
    """,
    """
    create table kpi_days (
      segmentation_id uuid,
      of_members boolean not null,
      segment_id uuid,
      of_guests boolean not null,
      day date not null,
      purchases numeric not null default 0,
      purchase_minor numeric not null default 0,
      purchase_squares numeric not null default 0,
      purchases_unrated numeric not null default 0,
      refunds numeric not null default 0,
      refund_minor numeric not null default 0,
      refund_squares numeric not null default 0,
      refunds_unrated numeric not null default 0,
      buyers_day bigint not null default 0,
      buyers_week bigint not null default 0,
      buyers_month bigint not null default 0,
      buyers_quarter bigint not null default 0,
      buyers_year bigint not null default 0,
      buyers_ever bigint not null default 0,
      repeat_buyers_day bigint not null default 0,
      repeat_buyers_week bigint not null default 0,
      repeat_buyers_month bigint not null default 0,
      repeat_buyers_quarter bigint not null default 0,
      repeat_buyers_year bigint not null default 0,
      repeat_buyers_ever bigint not null default 0,
      new_customers bigint not null default 0
    ) with (fillfactor = 70)
    """,
    """
    create unique index ix_kpi_days_group on kpi_days (segmentation_id, day, of_members, segment_id, of_guests)
      nulls not distinct
    """,
    """
    create table folded_facts (
      customer_id text collate "C" not null,
      facts bytea not null,
      constraint pk_folded_facts primary key (customer_id),
      constraint ck_folded_facts_not_empty check (octet_length(facts) > 0)
    )
    """,
    """
    create table folded_spells (
      customer_id text collate "C" not null,
      segmentation_id uuid not null,
      segment_id uuid[] not null,
      starts_at timestamptz[] not null,
      ends_at timestamptz[] not null,
      constraint pk_folded_spells primary key (customer_id, segmentation_id),
      constraint ck_folded_spells_not_empty check (cardinality(segment_id) > 0)
    )
    """,
    """
    create table cohort_periods (
      interval text collate "C" not null,
      cohort date not null,
      period date not null,
      buyers bigint not null default 0,
      purchase_minor numeric not null default 0,
      purchases_unrated numeric not null default 0,
      constraint pk_cohort_periods primary key (interval, cohort, period),
      constraint ck_cohort_periods_forward check (period >= cohort)
    ) with (fillfactor = 70)
    """,
    # Facts of guests belong to nobody: they are added up again by the day.
    """
    create index ix_transactions_guests on transactions (occurred_at) include (amount_minor, currency, kind)
      where customer_id is null
    """,
)

# Once per statement, whatever it is that writes: a fact that no entry speaks of would be missing from all sums.
TRIGGERS = (
    """
    create function rollup_of_added_transactions() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (customer_ids, guest_hours, first_fact_at, newest_fact_at, received_at)
      select coalesce(array_agg(distinct customer_id) filter (where customer_id is not null), '{}'),
             coalesce(array_agg(distinct date_trunc('hour', occurred_at)) filter (where customer_id is null), '{}'),
             min(occurred_at), max(occurred_at), max(received_at)
        from added
      having count(*) > 0;
      return null;
    end $$
    """,
    """
    create function rollup_of_changed_transactions() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (customer_ids, guest_hours, first_fact_at, newest_fact_at)
      select coalesce(array_agg(distinct customer_id) filter (where customer_id is not null), '{}'),
             coalesce(array_agg(distinct date_trunc('hour', occurred_at)) filter (where customer_id is null), '{}'),
             min(occurred_at), max(occurred_at)
        from (select customer_id, occurred_at from gone union all select customer_id, occurred_at from added) both_sides
      having count(*) > 0;
      return null;
    end $$
    """,
    """
    create function rollup_of_removed_transactions() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (customer_ids, guest_hours)
      select coalesce(array_agg(distinct customer_id) filter (where customer_id is not null), '{}'),
             coalesce(array_agg(distinct date_trunc('hour', occurred_at)) filter (where customer_id is null), '{}')
        from gone
      having count(*) > 0;
      return null;
    end $$
    """,
    """
    create function rollup_of_memberships() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (customer_ids, segmentation_id)
      select array_agg(distinct customer_id), segmentation_id from concerned group by segmentation_id;
      return null;
    end $$
    """,
    # Most updates only say that a membership was looked at again.
    """
    create function rollup_of_changed_memberships() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (customer_ids, segmentation_id)
      select array_agg(distinct customer_id), segmentation_id
        from gone full join added using (customer_id, segmentation_id, valid_from)
       where gone.segment_id is distinct from added.segment_id or gone.valid_to is distinct from added.valid_to
       group by segmentation_id;
      return null;
    end $$
    """,
    # A rate counts for a week after its day, and ends the one before it.
    """
    create function rollup_of_rates() returns trigger language plpgsql as $$
    begin
      insert into rollup_entries (rates_from, rates_to)
      select min(on_day), max(on_day) + 8 from concerned having count(*) > 0;
      return null;
    end $$
    """,
    """
    create trigger rollup_added after insert on transactions
      referencing new table as added for each statement execute function rollup_of_added_transactions()
    """,
    """
    create trigger rollup_changed after update on transactions
      referencing old table as gone new table as added
      for each statement execute function rollup_of_changed_transactions()
    """,
    """
    create trigger rollup_removed after delete on transactions
      referencing old table as gone for each statement execute function rollup_of_removed_transactions()
    """,
    """
    create trigger rollup_added after insert on memberships
      referencing new table as concerned for each statement execute function rollup_of_memberships()
    """,
    """
    create trigger rollup_removed after delete on memberships
      referencing old table as concerned for each statement execute function rollup_of_memberships()
    """,
    """
    create trigger rollup_changed after update on memberships
      referencing old table as gone new table as added
      for each statement execute function rollup_of_changed_memberships()
    """,
    """
    create trigger rollup_added after insert on exchange_rates
      referencing new table as concerned for each statement execute function rollup_of_rates()
    """,
    """
    create trigger rollup_changed_to after update on exchange_rates
      referencing new table as concerned for each statement execute function rollup_of_rates()
    """,
    """
    create trigger rollup_changed_from after update on exchange_rates
      referencing old table as concerned for each statement execute function rollup_of_rates()
    """,
    """
    create trigger rollup_removed after delete on exchange_rates
      referencing old table as concerned for each statement execute function rollup_of_rates()
    """,
)

FUNCTIONS = (
    "rollup_of_added_transactions",
    "rollup_of_changed_transactions",
    "rollup_of_removed_transactions",
    "rollup_of_memberships",
    "rollup_of_changed_memberships",
    "rollup_of_rates",
)


def upgrade() -> None:
    for statement in (*TABLES, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"drop function {function}() cascade")
    op.execute("drop index ix_transactions_guests")
    for table in ("cohort_periods", "folded_spells", "folded_facts", "kpi_days", "rollup_entries", "rollup_state"):
        op.execute(f"drop table {table}")
