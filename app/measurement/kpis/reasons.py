"""Why a figure cannot be given, where no facts could change that: better null with a reason than a wrong number."""

from app.measurement.kpis.kinds import COST_KINDS, Kpi
from app.measurement.kpis.question import Question

GUESTS_ARE_ANONYMOUS = "guests_are_anonymous"
GROUPING_HAS_NO_MEANING = "grouping_has_no_meaning"
PERIOD_HAS_NO_MEANING = "period_has_no_meaning"
NO_ACTIVE_MODEL = "no_active_model"
BASELINE_MISSING = "baseline_missing"
UNTAGGED = "untagged"
SHORTER_THAN_A_DAY = "shorter_than_a_day"


def reason_against(kpi: Kpi, question: Question, *, has_model: bool, compared: bool) -> str | None:
    """Why this figure is null for every group and period; null where the facts decide."""
    if question.customers == "guest" and kpi.needs_customers:
        return GUESTS_ARE_ANONYMOUS
    if not kpi.has_no_meaning_by.isdisjoint(question.group_by):
        return GROUPING_HAS_NO_MEANING
    if "period" in kpi.has_no_meaning_by and question.interval is not None:
        return PERIOD_HAS_NO_MEANING
    if "valued_customer" in kpi.kinds and not has_model:
        return NO_ACTIVE_MODEL
    return BASELINE_MISSING if kpi.of_baseline and not compared else None


def reason_against_baseline(kpi: Kpi) -> str | None:
    """Why a figure has no value in the window compared with, whatever happened in it."""
    if kpi.of_baseline:
        return BASELINE_MISSING
    return PERIOD_HAS_NO_MEANING if "period" in kpi.has_no_meaning_by else None


def needs_whole_days(kpi: Kpi) -> bool:
    """Whether it is made of costs, which are known by the day."""
    return not COST_KINDS.isdisjoint(kpi.kinds)
