"""Every key figure, defined once: the selects, the estimates, the documentation and the list of names derive from it.

A key figure is a numerator, or a numerator over a denominator. Both are measures: signed sums over kinds of facts. The
selects turn each kind into sufficient statistics (n, sum, sum of squares) by group and period, which add up over
groups, periods and kinds; `estimates` turns those into a value with its interval.
"""

from collections.abc import Mapping, Sequence

from app.errors import FieldError, UnknownMetric
from app.measurement.kpis.kinds import Kpi, Measure

PURCHASES = Measure("purchases", {"purchase": 1})
BUYERS = Measure("buyers", {"buyer": 1})
REPEAT_BUYERS = Measure("repeat_buyers", {"repeat_buyer": 1})
NEW_CUSTOMERS = Measure("new_customers", {"new_customer": 1})
REVENUE_GROSS = Measure("revenue_gross", {"purchase": 1}, money=True)
REFUNDS = Measure("refunds", {"refund": 1}, money=True)
REVENUE_NET = Measure("revenue_net", {"purchase": 1, "refund": -1}, money=True)
REVENUE_CHANGE = Measure("revenue_net_change", {"purchase": 1, "refund": -1}, money=True)
REVENUE_BEFORE = Measure("baseline_revenue_net", {"purchase": 1, "refund": -1}, money=True)
ADVERTISED_REVENUE = Measure("advertised_revenue_net", {"advertised_purchase": 1, "advertised_refund": -1}, money=True)
COSTS = Measure("costs", {"cost": 1}, money=True)
MEDIA_COSTS = Measure("media_costs", {"media_cost": 1}, money=True)
VISITORS = Measure("visitors", {"visitor": 1})
CONVERTED_VISITORS = Measure("converted_visitors", {"converted_visitor": 1})
REACHED = Measure("reached", {"reached": 1})
CLICKED = Measure("clicked", {"clicked": 1})
MAILED = Measure("mailed", {"mailed": 1})
OPENED = Measure("opened", {"opened": 1})
ACTIVE_BEFORE = Measure("active_before", {"active_before": 1})
RETAINED = Measure("retained", {"still_active": 1})
CHURNED = Measure("churned", {"active_before": 1, "still_active": -1})
CLV = Measure("clv", {"valued_customer": 1}, money=True)
VALUED_CUSTOMERS = Measure("valued_customers", {"valued_customer": 1})
CSAT_SATISFIED = Measure("csat_satisfied", {"csat_satisfied": 1})
CSAT_ANSWERS = Measure("csat_answers", {"csat_answer": 1})
NPS_BALANCE = Measure("promoters_less_detractors", {"nps_promoter": 1, "nps_detractor": -1})
NPS_ANSWERS = Measure("nps_answers", {"nps_answer": 1})

KPIS = (
    Kpi(
        "purchases",
        unit="count",
        direction="higher_is_better",
        numerator=PURCHASES,
        meaning="Purchases with an amount above 0.",
    ),
    Kpi(
        "buyers",
        unit="count",
        direction="higher_is_better",
        numerator=BUYERS,
        meaning="Distinct known customers with such a purchase; guests cannot be told apart and are left out.",
    ),
    Kpi(
        "new_customers",
        unit="count",
        direction="higher_is_better",
        numerator=NEW_CUSTOMERS,
        meaning="Known customers whose first such purchase ever lies in the period.",
    ),
    Kpi(
        "revenue_gross",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_GROSS,
        meaning="Sum of purchases in the reporting currency, each at the rate of its day.",
    ),
    Kpi(
        "refunds",
        unit="money",
        direction="lower_is_better",
        numerator=REFUNDS,
        meaning="Sum of refunds, a positive figure, on the day of the refund and not of the purchase.",
    ),
    Kpi(
        "revenue_net",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_NET,
        meaning="Gross revenue minus refunds.",
    ),
    Kpi(
        "revenue_growth",
        unit="ratio",
        direction="higher_is_better",
        numerator=REVENUE_CHANGE,
        denominator=REVENUE_BEFORE,
        of_baseline=True,
        meaning="Change of net revenue against the window compared with, as a share of it; .05 is 5 % more.",
    ),
    Kpi(
        "average_order_value",
        unit="money",
        direction="higher_is_better",
        numerator=REVENUE_GROSS,
        denominator=PURCHASES,
        interval="student_t",
        meaning="Gross revenue per purchase, with the interval of a sample mean.",
    ),
    Kpi(
        "repeat_purchase_rate",
        unit="ratio",
        direction="higher_is_better",
        numerator=REPEAT_BUYERS,
        denominator=BUYERS,
        interval="wilson",
        meaning="Share of the buyers with two or more purchases in the same group and period.",
    ),
    Kpi(
        "retention_rate",
        unit="ratio",
        direction="higher_is_better",
        numerator=RETAINED,
        denominator=ACTIVE_BEFORE,
        interval="wilson",
        meaning="Of the buyers of the equally long window before, the share who bought in this one too.",
    ),
    Kpi(
        "churn_rate",
        unit="ratio",
        direction="lower_is_better",
        numerator=CHURNED,
        denominator=ACTIVE_BEFORE,
        interval="wilson",
        meaning="Of the buyers of the equally long window before, the share who bought nothing in this one.",
    ),
    Kpi(
        "cltv",
        unit="money",
        direction="higher_is_better",
        numerator=CLV,
        denominator=VALUED_CUSTOMERS,
        interval="student_t",
        has_no_meaning_by=frozenset({"channel", "campaign", "period"}),
        meaning="Mean lifetime value by the active CLV model over the customers who are in the group now.",
    ),
    Kpi(
        "conversion_rate",
        unit="ratio",
        direction="higher_is_better",
        numerator=CONVERTED_VISITORS,
        denominator=VISITORS,
        interval="wilson",
        meaning="Of the customers with a visit or page view, the share who then purchased, converted or signed up.",
    ),
    Kpi(
        "click_through_rate",
        unit="ratio",
        direction="higher_is_better",
        numerator=CLICKED,
        denominator=REACHED,
        interval="wilson",
        meaning="Of impressions and mails sent, each once per customer and campaign, the share that was clicked.",
    ),
    Kpi(
        "open_rate",
        unit="ratio",
        direction="higher_is_better",
        numerator=OPENED,
        denominator=MAILED,
        interval="wilson",
        meaning="Of mails sent, each once per customer and campaign, the share that was opened.",
    ),
    Kpi(
        "csat",
        unit="ratio",
        direction="higher_is_better",
        numerator=CSAT_SATISFIED,
        denominator=CSAT_ANSWERS,
        interval="wilson",
        meaning="Share of the answers 4 and 5 among survey answers from 1 to 5.",
    ),
    Kpi(
        "nps",
        unit="ratio",
        direction="higher_is_better",
        numerator=NPS_BALANCE,
        denominator=NPS_ANSWERS,
        interval="bonett_price",
        meaning="Share of the answers 9 and 10 minus share of 0 to 6 among survey answers from 0 to 10: -1 to 1.",
    ),
    Kpi(
        "cost_per_acquisition",
        unit="money",
        direction="lower_is_better",
        numerator=COSTS,
        denominator=NEW_CUSTOMERS,
        has_no_meaning_by=frozenset({"segment"}),
        of_tags=True,
        meaning="Costs of all categories, pro rata by day, per new customer.",
    ),
    Kpi(
        "roas",
        unit="ratio",
        direction="higher_is_better",
        numerator=ADVERTISED_REVENUE,
        denominator=MEDIA_COSTS,
        has_no_meaning_by=frozenset({"segment"}),
        of_tags=True,
        meaning="Net revenue tagged with the campaign or channel per media cost of it; not a return on investment.",
    ),
)

BY_NAME: Mapping[str, Kpi] = {kpi.name: kpi for kpi in KPIS}


def named(names: Sequence[str]) -> tuple[Kpi, ...]:
    """The key figures of these names, in their order, each once; all names that are none are refused together."""
    flaws = [
        FieldError("metric", "unknown_metric", f"{name!r} is not the name of a metric")
        for name in dict.fromkeys(names)
        if name not in BY_NAME
    ]
    if flaws:
        raise UnknownMetric(f"Available are {', '.join(BY_NAME)}", errors=flaws)
    return tuple(BY_NAME[name] for name in dict.fromkeys(names))
