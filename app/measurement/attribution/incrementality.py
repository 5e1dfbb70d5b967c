"""How far a model's credit is from the truth, where a holdout shows the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.db.engine import Session
from app.measurement.attribution import repository
from app.measurement.attribution.definitions import JUDGED
from app.measurement.attribution.question import Question
from app.measurement.attribution.reading import credit_of
from app.measurement.campaigns.outcomes import ArmSums, Outcomes, arm_statistics
from app.measurement.campaigns.units import Span
from app.money import exponent, from_minor
from app.stats.comparison.difference import Difference
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate, Undetermined
from app.stats.returns.gains import added_up, incremental_total
from app.tables.campaigns import HOLDOUT

METRIC = "revenue_per_customer"
Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """One campaign: what the model credits among its treated, and what the holdout says they brought; minor units."""

    campaign_id: str
    credited: float
    gain: Difference | Undetermined


async def compared(session: Session, question: Question) -> dict[str, Shown]:
    """By channel or campaign: credited revenue of the treated against their gain. Raises MissingRates, InvalidInput."""
    found: dict[str, list[Compared]] = {}
    for campaign in await repository.judged(session, question, at_most=JUDGED):
        name = campaign.channel if question.by == "channel" else campaign.campaign_id
        if name is not None:
            found.setdefault(name, []).append(await _compared(session, question, campaign.campaign_id, name))
    return {name: _shown(each, question.reporting.currency) for name, each in found.items()}


async def _compared(session: Session, question: Question, campaign_id: str, name: str) -> Compared:
    now = question.reporting.now
    found = await arm_statistics(session, campaign_id, metric=METRIC, reporting=question.reporting, as_of=now)
    treated = [arm for arm in found.arms if arm.arm != HOLDOUT]
    gain = incremental_total([_revenue(arm) for arm in treated], _revenue(found.arm(HOLDOUT)))
    groups, _ = await credit_of(session, _of_treated(question, found))
    gross = sum(group.revenue_minor + group.untouched_minor for group in groups)
    credit = sum(group.shares[name].revenue_minor for group in groups if name in group.shares)
    # The gain is net of refunds, credit is not: it shrinks by the part that the treated sent back.
    net = float(sum(_revenue(arm).total for arm in treated))
    return Compared(campaign_id, credit * net / gross if gross else 0.0, gain)


def _of_treated(question: Question, found: Outcomes) -> Question:
    campaign = found.campaign
    span = Span(
        campaign_id=campaign.campaign_id,
        arms=campaign.arms,
        ends_at=campaign.ends_at,
        window_days=campaign.outcome_window_days,
        as_of=found.as_of,
    )
    # Arms that were pushed may be older than the campaign's own time.
    start = min(campaign.starts_at, found.people.first_at or campaign.starts_at)
    return question.of_treated(span, start=start, end=campaign.ends_at)


def _revenue(arm: ArmSums) -> Sums:
    sums = arm.sums[METRIC]
    return Sums(sums.n, sums.total, sums.squares)


def _shown(campaigns: Sequence[Compared], currency: str) -> Shown:
    """All campaigns of one channel together; those without a comparison are left out."""
    known = [each for each in campaigns if isinstance(each.gain, Difference)]
    counted = known or campaigns
    credit = sum(each.credited for each in counted)
    unknown = next((each.gain for each in campaigns if isinstance(each.gain, Undetermined)), None)
    gain: Difference | Undetermined | None = unknown
    if known:
        gain = added_up([each.gain for each in known if isinstance(each.gain, Difference)])
    shown: Shown = {
        "campaigns": [each.campaign_id for each in counted],
        "credited": {"amount": from_minor(round(credit), currency), "currency": currency},
    }
    if isinstance(gain, Difference):
        estimate = gain.interval()
        return {**shown, "gain": _gain(estimate, currency), "factor": factor(credit, estimate)}
    assert gain is not None
    nothing = {"value": None, "reason": gain.reason, "n": gain.n}
    return {**shown, "gain": nothing, "factor": nothing}


def _gain(gain: Estimate, currency: str) -> Shown:
    unit = 10 ** exponent(currency)
    ends = {"value": gain.value / unit, "low": _over(gain.low, unit), "high": _over(gain.high, unit)}
    shown = {**ends, "level": gain.level, "method": gain.method, "n": gain.n}
    return shown if gain.reason is None else {**shown, "reason": gain.reason}


def _over(end: float | None, unit: int) -> float | None:
    return None if end is None else end / unit


def factor(credit: float, gain: Estimate) -> Shown:
    """Credit by gain: above 1 the model gives too much. Null where the gain is not above 0, and so is an end of the
    interval where the gain may be 0; that the credit is more than the gain can be is known all the same."""
    low = credit / gain.high if gain.high is not None and gain.high > 0 else None
    high = credit / gain.low if gain.low is not None and gain.low > 0 else None
    shown: Shown = {
        "value": credit / gain.value if gain.value > 0 else None,
        "low": low,
        "high": high,
        "level": gain.level,
        "n": gain.n,
        "verdict": _verdict(credit, gain),
    }
    if gain.value <= 0:
        return {**shown, "reason": "no_gain"}
    if gain.reason is not None:
        return {**shown, "reason": gain.reason}
    return shown if high is not None else {**shown, "reason": "gain_may_be_zero"}


def _verdict(credit: float, gain: Estimate) -> str:
    if gain.high is not None and credit > gain.high:
        return "over_credited"
    if gain.low is not None and credit < gain.low:
        return "under_credited"
    return "not_conclusive"
