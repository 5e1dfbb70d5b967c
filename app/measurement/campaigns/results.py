"""The result of a campaign, put together from counts and comparisons, with what speaks against believing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from anyio import to_thread

from app.clock import format_instant
from app.db.engine import Session
from app.errors import SegmentationNotFound
from app.measurement.campaigns import service
from app.measurement.campaigns.comparing import Manner, comparisons
from app.measurement.campaigns.definitions import Metric, named
from app.measurement.campaigns.outcomes import ArmSums, Asked, Outcomes, outcomes
from app.measurement.campaigns.overlaps import overlapping, segment_names
from app.measurement.campaigns.wording import summary
from app.measurement.spells import segmentation_exists
from app.money import from_minor
from app.stats.comparison.sample_ratio import sample_ratio
from app.stats.estimate import Undetermined
from app.tables.campaigns import HOLDOUT

# Below this the arms are called broken. Looked at once per campaign, one in a hundred sound ones is called so too.
LEAST_P_VALUE = 0.01
FEWEST = 100

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a result; without metrics those that the campaign was planned with."""

    metrics: Sequence[str] = ()
    by_segment: UUID | None = None
    winsorize: float | None = None
    manner: Manner


async def results(session: Session, campaign_id: str, *, wanted: Wanted, now: datetime) -> Shown:
    """Everything a campaign's result says. Raises CampaignNotFound, UnknownMetric, SegmentationNotFound, MissingRates."""
    manner, by_segment = wanted.manner, wanted.by_segment
    campaign = await service.found(session, campaign_id)
    chosen = named(wanted.metrics or campaign.metrics)
    if by_segment is not None and not await segmentation_exists(session, by_segment):
        raise SegmentationNotFound()
    asked = Asked(metrics=chosen, as_of=now, by_segment=by_segment, winsorize=wanted.winsorize)
    found = await outcomes(session, campaign, asked=asked, reporting=manner)
    overlaps = await overlapping(session, campaign)
    compared = await to_thread.run_sync(_compared, found, chosen, manner)
    if by_segment is not None:
        names = await segment_names(session, by_segment)
        for row in (row for each in compared for row in each.get("by_segment", ())):
            row |= names.get(row["segment_id"], {"segment_key": None, "segment_name": None})
    ratio, maturity = _sample_ratio(found), _maturity(found)
    return {
        "campaign_id": campaign.campaign_id,
        "as_of": format_instant(now),
        "currency": manner.currency,
        "arms": [_arm(each, manner.currency) for each in found.arms],
        "sample_ratio": ratio,
        "comparisons": compared,
        "maturity": maturity,
        "excluded": _excluded(found),
        "overlaps": overlaps,
        "warnings": _warnings(found, ratio, overlaps),
        "summary": summary(compared, metric=chosen[0].name, sample_ratio=ratio, maturity=maturity),
    }


def _compared(found: Outcomes, metrics: tuple[Metric, ...], manner: Manner) -> list[Shown]:
    return [row for metric in metrics for row in comparisons(found, metric, manner=manner)]


def _arm(arm: ArmSums, currency: str) -> Shown:
    return {
        "arm": arm.arm,
        "n": arm.n,
        "buyers": arm.buyers,
        "conversions": arm.conversions,
        "revenue_net": {"amount": from_minor(arm.revenue_minor, currency), "currency": currency},
    }


def _sample_ratio(found: Outcomes) -> Shown:
    """Whether customers are in the arms as planned; `ok` is null where that cannot be said."""
    planned = {each.arm: each.share for each in found.campaign.shares}
    observed = dict(found.people.assigned_by_arm)
    tested = sample_ratio([observed[arm] for arm in planned], list(planned.values()))
    whole, n = sum(planned.values()), sum(observed[arm] for arm in planned)
    expected = {arm: n * share / whole for arm, share in planned.items()}
    shown: Shown = {"expected": expected, "observed": observed}
    if isinstance(tested, Undetermined):
        return {"p_value": None, "ok": None, "reason": tested.reason, **shown}
    return {"p_value": tested.p_value, "ok": tested.p_value >= LEAST_P_VALUE, "chi_square": tested.chi_square, **shown}


def _maturity(found: Outcomes) -> Shown:
    """Whose time is over. Without a window of their own it is over for all at once, when the campaign ends."""
    people, campaign = found.people, found.campaign
    mature, pending = people.mature, people.pending
    if campaign.outcome_window_days is None and found.as_of < campaign.ends_at:
        mature, pending = 0, mature + pending
    total = mature + pending
    return {
        "mature": mature,
        "pending": pending,
        "share": mature / total if total else None,
        "complete_at": format_instant(_complete_at(found)),
        "window_days": campaign.outcome_window_days,
        "pending_count_so_far": campaign.outcome_window_days is None,
    }


def _complete_at(found: Outcomes) -> datetime:
    """When the last of those assigned so far is over."""
    campaign, last = found.campaign, found.people.last_at
    if campaign.outcome_window_days is None or last is None:
        return campaign.ends_at
    days = min(campaign.outcome_window_days, max((campaign.ends_at - last).days + 1, 0))
    return min(last + timedelta(days=days), campaign.ends_at)


def _excluded(found: Outcomes) -> Shown:
    people = found.people
    return {
        "erased": people.erased,
        "cross_overs": people.merged_cross_overs,
        "refused_cross_overs": people.refused_cross_overs,
        "duplicates": people.duplicates,
    }


def _warnings(found: Outcomes, ratio: Shown, overlaps: list[Shown]) -> list[Shown]:
    """What speaks against taking the figures at face value, as code and sentence."""
    people = found.people
    warnings = []
    if ratio["ok"] is False:
        detail = (
            f"the arms are not as planned (p = {ratio['p_value']:.2g}): something decides who is counted, and the "
            "results are not to be trusted until it is found"
        )
        warnings.append(("sample_ratio_mismatch", detail))
    if not any(each.arm == HOLDOUT and each.n for each in found.arms):
        warnings.append(("no_holdout", "nobody in the holdout counts yet: there is nothing to compare with"))
    few = [each.arm for each in found.arms if 0 < each.n < FEWEST]
    if few:
        warnings.append(("small_arms", f"fewer than {FEWEST} customers in {', '.join(few)}: intervals are rough"))
    crossed = people.merged_cross_overs + people.refused_cross_overs
    if crossed:
        warnings.append(("cross_overs", f"{crossed} customer(s) were reported or merged into a second arm"))
    if people.erased:
        warnings.append(("erased", f"{people.erased} assigned customer(s) were erased and count nowhere"))
    if overlaps:
        others = ", ".join(each["campaign_id"] for each in overlaps[:3])
        warnings.append(("overlapping_campaigns", f"some customers were treated by others at the same time: {others}"))
    return [{"code": code, "detail": detail} for code, detail in warnings]
