"""The gain of an initiative by each way to know it, with what speaks against believing it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.measurement.campaigns.outcomes import ArmSums, Outcomes, arm_statistics
from app.measurement.campaigns.results import LEAST_P_VALUE
from app.measurement.campaigns.service import Campaign
from app.measurement.kpis.question import Reporting
from app.measurement.roi.changes import Stratum, Treatment, daily_totals, strata
from app.measurement.roi.definitions import BROKEN_LOT, EVIDENCE, Grade, Method, Value
from app.stats.comparison.difference import Difference
from app.stats.comparison.sample_ratio import sample_ratio
from app.stats.comparison.sums import Sums
from app.stats.estimate import Undetermined
from app.stats.returns.gains import PARALLEL_P_VALUE, added_up, before_and_after, incremental_total
from app.tables.campaigns import HOLDOUT

Warned = dict[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """An initiative to be judged: its campaigns, its time up to now, its baseline, how a gain is counted.

    margin_rate: share of revenue that is margin, where transactions do not say; null: they do.
    """

    initiative_id: str
    campaigns: Sequence[Campaign]
    window: tuple[datetime, datetime]
    baseline: tuple[datetime, datetime] | None
    value: Value
    margin_rate: float | None
    as_of: datetime

    @property
    def counted(self) -> Value:
        """What transactions are asked for."""
        return "revenue" if self.margin_rate is not None else self.value

    @property
    def factor(self) -> float:
        """What turns that into the gain."""
        return 1.0 if self.margin_rate is None else self.margin_rate

    @property
    def metric(self) -> str:
        return f"{self.counted}_per_customer"


@dataclass(frozen=True, slots=True)
class Found:
    """A gain in minor units of the reporting currency, as a difference or the reason why there is none."""

    method: Method
    grade: Grade
    gain: Difference | Undetermined
    treated: int
    warnings: tuple[Warned, ...] = ()
    parallel: bool | None = None
    outcomes: tuple[Outcomes, ...] = ()

    @property
    def is_known(self) -> bool:
        return isinstance(self.gain, Difference)


async def by_holdout(session: Session, work: Work, *, reporting: Reporting, by_segment: UUID | None = None) -> Found:
    """The treated of every campaign against its own holdout. Raises MissingRates."""
    outcomes = [
        await arm_statistics(
            session,
            campaign.campaign_id,
            metric=work.metric,
            reporting=reporting,
            as_of=work.as_of,
            by_segment=by_segment,
        )
        for campaign in work.campaigns
    ]
    gains = [(each, gain_of(each.arms, work)) for each in outcomes]
    known = [(each, gain) for each, gain in gains if isinstance(gain, Difference)]
    unknown = [gain for _, gain in gains if isinstance(gain, Undetermined)]
    total = added_up([gain for _, gain in known]) if known or not unknown else unknown[0]
    broken = [each for each, _ in known if _is_broken(each)]
    warnings = [
        _warned("sample_ratio_mismatch", f"the arms of {each.campaign.campaign_id} are not as planned: no lot decided")
        for each in broken
    ]
    left_out = [each.campaign.campaign_id for each, gain in gains if isinstance(gain, Undetermined)]
    if left_out and known:
        detail = f"campaigns without a comparison are left out of the gain, but not of the cost: {', '.join(left_out)}"
        warnings.append(_warned("campaigns_left_out", detail))
    running = [each.campaign.campaign_id for each, _ in known if each.people.pending or _runs(each)]
    if running:
        warnings.append(_warned("not_over", f"not all outcomes are in yet: {', '.join(running)}"))
    treated = sum(arm.n for each, _ in known for arm in each.arms if arm.arm != HOLDOUT)
    grade = BROKEN_LOT if broken else EVIDENCE["holdout"].grade
    return Found("holdout", grade, total, treated, tuple(warnings), outcomes=tuple(outcomes))


def gain_of(arms: Sequence[ArmSums], work: Work) -> Difference | Undetermined:
    """What the treated arms of one campaign, or of a segment in it, brought in all."""
    if work.counted == "margin" and any(arm.without_margin for arm in arms):
        return Undetermined("margin_unknown", sum(arm.n for arm in arms))
    empty = Sums(0, 0, 0)
    control = next((arm.sums[work.metric] for arm in arms if arm.arm == HOLDOUT), empty)
    found = incremental_total([_alone(arm.sums[work.metric]) for arm in arms if arm.arm != HOLDOUT], _alone(control))
    return _scaled(found, work.factor)


def _alone(sums: Sums) -> Sums:
    return Sums(sums.n, sums.total, sums.squares)


def _scaled(gain: Difference | Undetermined, factor: float) -> Difference | Undetermined:
    if isinstance(gain, Undetermined):
        return gain
    return replace(gain, value=factor * gain.value, standard_error=factor * gain.standard_error)


def _is_broken(outcomes: Outcomes) -> bool:
    shares = outcomes.campaign.shares
    observed = outcomes.people.assigned_by_arm
    tested = sample_ratio([observed[each.arm] for each in shares], [each.share for each in shares])
    return not isinstance(tested, Undetermined) and tested.p_value < LEAST_P_VALUE


def _runs(outcomes: Outcomes) -> bool:
    return outcomes.as_of < outcomes.campaign.ends_at


async def by_differences(session: Session, work: Work, *, reporting: Reporting) -> Found:
    """The treated against customers who were left alone, by how much each changed. Raises MissingRates."""
    ids = [campaign.campaign_id for campaign in work.campaigns]
    start = min((campaign.starts_at for campaign in work.campaigns), default=work.window[0])
    end = min(max((campaign.ends_at for campaign in work.campaigns), default=work.window[1]), work.as_of)
    method: Method = "difference_in_differences"
    grade = EVIDENCE[method].grade
    if not ids or end <= start:
        return Found(method, grade, Undetermined("no_exposures", 0), 0)
    found = await strata(session, Treatment(ids, start, end, work.counted), reporting=reporting)
    treated = sum(each.change.n for each in found if each.is_treated)
    if any(each.unpriced for each in found):
        return Found(method, grade, Undetermined("margin_unknown", treated), treated)
    pairs, alone = _pairs(found)
    gain = _over_strata([(one.change, other.change) for one, other in pairs], treated)
    trend = _over_strata([(one.trend, other.trend) for one, other in pairs], treated)
    parallel = None
    if isinstance(trend, Difference) and trend.p_value is not None:
        parallel = trend.p_value >= PARALLEL_P_VALUE
    warnings = []
    if parallel is False:
        detail = "treated and untreated customers changed differently before the start already"
        warnings.append(_warned("trends_not_parallel", detail))
    if alone:
        detail = f"{alone} treated customers have nobody like them among the untreated and are left out"
        warnings.append(_warned("without_counterpart", detail))
    return Found(method, grade if parallel else "C", _scaled(gain, work.factor), treated, tuple(warnings), parallel)


def _pairs(found: Sequence[Stratum]) -> tuple[list[tuple[Stratum, Stratum]], int]:
    """Treated strata with the untreated of like purchases; and how many treated have no such."""
    untreated = {each.purchases_before: each for each in found if not each.is_treated and each.change.n > 1}
    treated = [each for each in found if each.is_treated and each.change.n > 1]
    pairs = [(each, untreated[each.purchases_before]) for each in treated if each.purchases_before in untreated]
    paired = sum(one.change.n for one, _ in pairs)
    return pairs, sum(each.change.n for each in found if each.is_treated) - paired


def _over_strata(pairs: Sequence[tuple[Sums, Sums]], treated: int) -> Difference | Undetermined:
    """The differences of the changes of all treated customers together."""
    found = []
    for pair in pairs:
        one, other = (each.combined(shift=0, own=1, beside=-1) for each in pair)
        total = incremental_total([one], other)
        if isinstance(total, Difference):
            found.append(replace(total, method="difference_in_differences"))
    return added_up(found) if found else Undetermined("no_exposures", treated)


async def by_time(session: Session, work: Work, *, reporting: Reporting) -> Found:
    """The days since the start against the days of the baseline. Raises MissingRates."""
    method: Method = "before_after"
    grade = EVIDENCE[method].grade
    if work.baseline is None:
        return Found(method, grade, Undetermined("baseline_missing", 0), 0)
    before, _ = await daily_totals(session, work.baseline, value=work.counted, reporting=reporting)
    after, unpriced = await daily_totals(session, work.window, value=work.counted, reporting=reporting)
    warnings = [_warned("seasonality", "seasons and everything else that changed with time are part of this gain")]
    if len(before) < len(after):
        detail = f"the baseline has {len(before)} days, the window {len(after)}: too short to know an ordinary day"
        warnings.append(_warned("baseline_shorter", detail))
    gain = Undetermined("margin_unknown", len(after)) if unpriced else before_and_after(before, after)
    return Found(method, grade, _scaled(gain, work.factor), 0, tuple(warnings))


def _warned(code: str, detail: str) -> Warned:
    return {"code": code, "detail": detail}


def by_word(declared: Any) -> Found:
    """What somebody vouches for, as a gain without any spread; undetermined where nobody does."""
    grade = EVIDENCE["declared"].grade
    if not declared:
        return Found("declared", grade, Undetermined("no_exposures", 0), 0)
    gain = Difference(float(declared["amount_minor"]), 0.0, float("inf"), 0, "declared")
    vouched = _warned("not_measured", f"declared by {declared['by']}: {declared['why']}")
    return Found("declared", grade, gain, 0, (vouched,))
