"""Views for BI tools in a schema of their own, whose names stay while the tables below them change."""

from alembic import op

revision = "0006"
down_revision = "0005"

# Digits after the point by ISO 4217, where they are not two. Written out, because the migration must make the same
# function for ever, whatever the application knows by then.
MAJOR_UNITS = """
create function reporting.major_units(amount_minor numeric, currency text) returns numeric
language sql immutable parallel safe
return case
  when currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF',
                    'XOF', 'XPF',
                    'ADP', 'BEF', 'BYR', 'ESP', 'GRD', 'ITL', 'LUF', 'MGF', 'PTE', 'TRL') then amount_minor
  when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then amount_minor * 0.001
  else amount_minor * 0.01
end
"""

CUSTOMERS = """
create view reporting.customers as
select customer_id, first_seen_at, created_at, updated_at, consent_profiling, consent_marketing,
       attributes, attributes_since
  from customers
"""

TRANSACTIONS = """
create view reporting.transactions as
select source, transaction_id, customer_id, occurred_at, kind,
       reporting.major_units(amount_minor, currency) as amount,
       reporting.major_units(case kind when 'refund' then -amount_minor else amount_minor end, currency)
         as signed_amount,
       reporting.major_units(margin_minor, currency) as margin,
       cast(currency as text) as currency,
       channel, campaign_id, refunds, line_count, received_at
  from transactions
"""

TRANSACTION_ITEMS = """
create view reporting.transaction_items as
select i.source, i.transaction_id, i.line, i.product_id, i.quantity, i.unit_price,
       i.quantity * i.unit_price as line_amount,
       cast(t.currency as text) as currency,
       t.customer_id, t.occurred_at, t.kind, t.channel, t.campaign_id
  from transaction_items i
  join transactions t on t.source = i.source and t.transaction_id = i.transaction_id
"""

EVENTS = """
create view reporting.events as
select source, event_id, customer_id, type, occurred_at, channel, campaign_id, value, properties, received_at
  from events
"""

COSTS_BY_DAY = """
create view reporting.costs_by_day as
select c.cost_id, c.starts_on + later.days as day, c.category, c.channel, c.campaign_id, c.initiative_id,
       reporting.major_units(c.amount_minor, c.currency) / (c.ends_on - c.starts_on) as amount,
       cast(c.currency as text) as currency
  from costs c
 cross join lateral generate_series(0, c.ends_on - c.starts_on - 1) as later (days)
"""

EXCHANGE_RATES = """
create view reporting.exchange_rates as
select on_day, cast(from_currency as text) as from_currency, cast(to_currency as text) as to_currency, rate
  from exchange_rates
"""

DAILY_SALES = """
create view reporting.daily_sales as
select day, currency, channel, purchases,
       reporting.major_units(gross_minor, currency) as gross,
       refund_count,
       reporting.major_units(refunds_minor, currency) as refunds,
       reporting.major_units(gross_minor - refunds_minor, currency) as net
  from (select cast(occurred_at at time zone 'UTC' as date) as day,
               cast(currency as text) as currency,
               channel,
               count(*) filter (where kind = 'purchase' and amount_minor > 0) as purchases,
               coalesce(sum(amount_minor) filter (where kind = 'purchase'), 0) as gross_minor,
               count(*) filter (where kind = 'refund') as refund_count,
               coalesce(sum(amount_minor) filter (where kind = 'refund'), 0) as refunds_minor
          from transactions
         group by 1, 2, 3) as sums
"""

SEGMENTATION_VERSIONS = """
create view reporting.segmentation_versions as
select v.segmentation_id, s.name as segmentation, s.method, v.version, v.status, v.trained_at, v.as_of,
       v.activated_at, v.refreshed_at
  from segmentation_versions v
  join segmentations s on s.segmentation_id = v.segmentation_id
"""

SEGMENTS = """
create view reporting.segments as
select s.segment_id, s.segmentation_id, g.name as segmentation, g.method, s.key as segment_key, s.name as segment,
       s.position, latest.version, latest.status as version_status,
       coalesce(latest.profile -> 'segments' ? s.key, false) as in_version
  from segments s
  join segmentations g on g.segmentation_id = s.segmentation_id
  left join (select distinct on (segmentation_id) segmentation_id, version, status, profile
               from segmentation_versions
              order by segmentation_id, status = 'active' desc, version desc) as latest
    on latest.segmentation_id = s.segmentation_id
"""

MEMBERSHIPS = """
create view reporting.memberships as
select m.customer_id, m.segmentation_id, g.name as segmentation, m.segment_id, s.key as segment_key,
       s.name as segment, m.version, m.since, m.valid_from, m.valid_to, m.valid_to is null as is_current, m.confidence
  from memberships m
  join segments s on s.segment_id = m.segment_id
  join segmentations g on g.segmentation_id = m.segmentation_id
"""

INITIATIVES = """
create view reporting.initiatives as
select initiative_id, name, objective, starts_at, ends_at, baseline_from, baseline_to, value as gain_measured_as,
       margin_rate, created_at
  from initiatives
"""

CAMPAIGNS = """
create view reporting.campaigns as
select campaign_id, name, objective, channel, segment_id, starts_at, ends_at, holdout_share, variants,
       outcome_window_days, initiative_id, created_at
  from campaigns
"""

# A name that was merged since is followed, as results do; whoever was assigned under both names has two rows.
CAMPAIGN_ASSIGNMENTS = """
create view reporting.campaign_assignments as
select a.assignment_id, a.campaign_id, coalesce(n.customer_id, a.customer_id) as customer_id, a.arm,
       a.arm = 'holdout' as is_holdout, a.assigned_at, a.exposed_at, a.external, a.crossed_over
  from campaign_assignments a
  left join customer_aliases n on n.alias = a.customer_id
"""

# The currency that churn is valued in is a setting of the service, unknown here: hence minor units.
CHURN_SCORES = """
create view reporting.churn_scores as
select s.customer_id, s.churn_probability, s.expected_value_minor, s.value_at_risk_minor, s.scored_at, s.model_id
  from churn_scores s
  join predictive_models m on m.model_id = s.model_id
 where m.kind = 'churn' and m.status = 'active'
"""

CLV_SCORES = """
create view reporting.clv_scores as
select s.customer_id, s.p_alive, s.expected_purchases,
       reporting.major_units(s.expected_value_minor, m.request ->> 'currency') as expected_value,
       reporting.major_units(s.clv_minor, m.request ->> 'currency') as clv,
       m.request ->> 'currency' as currency,
       cast(m.request ->> 'horizon_days' as integer) as horizon_days,
       s.scored_at, s.model_id
  from clv_scores s
  join predictive_models m on m.model_id = s.model_id
 where m.kind = 'clv' and m.status = 'active'
"""

# In the order they are made: name, text, and what a BI tool shows beside the name.
VIEWS = (
    ("customers", CUSTOMERS, "One row per customer."),
    ("transactions", TRANSACTIONS, "One row per purchase or refund, amounts in units of its currency."),
    ("transaction_items", TRANSACTION_ITEMS, "One row per line of a purchase or refund."),
    ("events", EVENTS, "One row per event."),
    ("costs_by_day", COSTS_BY_DAY, "One row per cost and day of its period, over which it is spread evenly."),
    ("exchange_rates", EXCHANGE_RATES, "One row per day and ordered pair of currencies."),
    ("daily_sales", DAILY_SALES, "One row per day in UTC, currency and channel with a purchase or refund."),
    ("segmentation_versions", SEGMENTATION_VERSIONS, "One row per version of a segmentation."),
    ("segments", SEGMENTS, "One row per segment, with the active version of its segmentation, or else the newest."),
    ("memberships", MEMBERSHIPS, "One row per customer, segmentation and stretch of time in one segment."),
    ("initiatives", INITIATIVES, "One row per initiative."),
    ("campaigns", CAMPAIGNS, "One row per campaign."),
    ("campaign_assignments", CAMPAIGN_ASSIGNMENTS, "One row per customer assigned to an arm of a campaign."),
    ("churn_scores", CHURN_SCORES, "One row per customer whom the active churn model scored."),
    ("clv_scores", CLV_SCORES, "One row per customer whom the active lifetime value model scored."),
)


def upgrade() -> None:
    op.execute("create schema reporting")
    op.execute("comment on schema reporting is 'Views for BI tools; docs/reporting.md describes each.'")
    op.execute(MAJOR_UNITS)
    for name, text, comment in VIEWS:
        op.execute(text)
        op.execute(f"comment on view reporting.{name} is '{comment}'")


def downgrade() -> None:
    # Without cascade: what somebody else built on a view is theirs, and stops this with its name.
    for name, _, _ in reversed(VIEWS):
        op.execute(f"drop view reporting.{name}")
    op.execute("drop function reporting.major_units(numeric, text)")
    op.execute("drop schema reporting")
