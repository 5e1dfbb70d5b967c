"""The return of an initiative, put together: the best gain there is, its cost, and what follows from both."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import SegmentationNotFound
from app.measurement.campaigns import service as campaigns
from app.measurement.costs import Ledger, Spent, spent
from app.measurement.kpis.question import Reporting
from app.measurement.roi import initiatives
from app.measurement.roi.breakdown import by_arm, by_channel, by_segment, equity
from app.measurement.roi.definitions import EVIDENCE, METHODS
from app.measurement.roi.evidence import Found, Work, by_differences, by_holdout, by_time, by_word
from app.measurement.roi.showing import Showing
from app.measurement.roi.wording import summary
from app.measurement.spells import segmentation_exists
from app.stats.comparison.difference import Difference
from app.stats.estimate import Undetermined
from app.stats.returns.investment import break_even_margin, payback_days, probability_of_profit

Shown = dict[str, Any]
TICK = timedelta(microseconds=1)


async def answer(
    session: Session, initiative_id: str, *, method: str, by: UUID | None, level: float, reporting: Reporting
) -> Shown:
    """What an initiative was worth by the asked method, or by the best there is.

    Raises InitiativeNotFound, SegmentationNotFound, MissingRates.
    """
    row = await initiatives.found(session, initiative_id)
    if by is not None and not await segmentation_exists(session, by):
        raise SegmentationNotFound()
    work = await _work(session, row, reporting)
    tried = await _tried(session, work, row["declared"], method=method, by=by, reporting=reporting)
    chosen = _chosen(tried)
    costs = await _costs(session, row, work, reporting)
    showing = Showing(reporting.currency, level)
    total = sum(each.amount_minor for each in costs)
    found = {
        "initiative_id": row["initiative_id"],
        "as_of": reporting.now,
        "window": {"from": work.window[0], "to": work.window[1]},
        "currency": reporting.currency,
        "value": row["value"],
        "margin_rate": row["margin_rate"],
        **_judged(chosen),
        **_returned(chosen, total, work, showing=showing),
        "cost": {"total": showing.money(total), "by_category": _by_category(costs, showing)},
        "customer_equity": showing.gain(await equity(session, work)),
        "tried": [_shown_try(each, chosen, showing) for each in tried],
        "by_arm": by_arm(work, chosen, costs, showing=showing),
        "by_channel": await by_channel(session, work, chosen, costs, showing=showing),
        "warnings": [*chosen.warnings, *_warned_of_cost(costs, work)],
    }
    if by is not None:
        found["by_segment"] = await by_segment(session, work, chosen, total, segmentation_id=by, showing=showing)
    return found | {"summary": summary(found)}


async def _work(session: Session, row: Mapping[str, Any], reporting: Reporting) -> Work:
    baseline = (row["baseline_from"], row["baseline_to"]) if row["baseline_from"] else None
    end = max(min(row["ends_at"], reporting.now), row["starts_at"])
    return Work(
        row["initiative_id"],
        await campaigns.of_initiative(session, row["initiative_id"]),
        (row["starts_at"], end),
        baseline,
        row["value"],
        row["margin_rate"],
        reporting.now,
    )


async def _tried(
    session: Session,
    work: Work,
    declared: Mapping[str, Any] | None,
    *,
    method: str,
    by: UUID | None,
    reporting: Reporting,
) -> list[Found]:
    """The gain by each method, from the best evidence down, until one is good enough; by the asked one alone."""
    found: list[Found] = []
    for each in METHODS if method == "auto" else [method]:
        if each == "holdout":
            found.append(await by_holdout(session, work, reporting=reporting, by_segment=by))
        elif each == "difference_in_differences":
            found.append(await by_differences(session, work, reporting=reporting))
        elif each == "before_after":
            found.append(await by_time(session, work, reporting=reporting))
        else:
            found.append(by_word(declared))
        # What was found to be no lot, or no parallel trends, is worth no more than what comes after it.
        if found[-1].is_known and found[-1].grade == EVIDENCE[found[-1].method].grade:
            break
    return found


def _chosen(tried: Sequence[Found]) -> Found:
    """The best grade that has a gain; of equal ones the one that was looked at first."""
    known = [each for each in tried if each.is_known]
    return min(known or tried, key=lambda each: each.grade)


async def _costs(session: Session, row: Mapping[str, Any], work: Work, reporting: Reporting) -> list[Spent]:
    """What was booked on the initiative or its campaigns for days of its window, by campaign and category."""
    start, end = work.window
    # The day of the last instant that is part of the window.
    first, last = (each.astimezone(reporting.zone).date() for each in (start, max(start, end - TICK)))
    ledger = Ledger(
        first,
        last + timedelta(days=1),
        initiative_id=row["initiative_id"],
        campaign_ids=[campaign.campaign_id for campaign in work.campaigns],
    )
    return await spent(session, ledger, currency=reporting.currency, by=("campaign",))


def _by_category(costs: Sequence[Spent], showing: Showing) -> Shown:
    sums: dict[str, int] = {}
    for each in costs:
        sums[each.category] = sums.get(each.category, 0) + each.amount_minor
    return {category: showing.money(amount) for category, amount in sorted(sums.items())}


def _judged(chosen: Found) -> Shown:
    evidence = EVIDENCE[chosen.method]
    better = evidence.better
    if chosen.grade != evidence.grade:
        better = "; ".join(each["detail"] for each in chosen.warnings[:1]) or evidence.better
    return {
        "method": chosen.method,
        "evidence": chosen.grade,
        "evidence_meaning": evidence.meaning,
        "better_evidence": better,
        "treated": chosen.treated,
        "parallel_trends": chosen.parallel,
    }


def _returned(chosen: Found, cost: int, work: Work, *, showing: Showing) -> Shown:
    gain = chosen.gain
    probability = _known(probability_of_profit(gain, float(cost)))
    measured = isinstance(gain, Difference) and gain.standard_error > 0
    days = max((work.window[1] - work.window[0]) / timedelta(days=1), 1e-9)
    value = gain.value if isinstance(gain, Difference) else None
    revenue_gain = value if work.value == "revenue" else None
    return {
        "gain": showing.gain(gain),
        "net_gain": showing.net(gain, cost),
        "roi": showing.roi(gain, cost),
        "probability_positive": probability if measured else None,
        "payback_days": None if value is None else _known(payback_days(value, float(cost), days=days)),
        "break_even_gain": showing.money(cost),
        "break_even_margin": None if revenue_gain is None else _known(break_even_margin(revenue_gain, float(cost))),
    }


def _known(found: float | Undetermined) -> float | None:
    return None if isinstance(found, Undetermined) else found


def _shown_try(each: Found, chosen: Found, showing: Showing) -> Shown:
    same = {"method": each.method, "evidence": each.grade, "gain": showing.gain(each.gain)}
    return {**same, "chosen": each is chosen}


def _warned_of_cost(costs: Sequence[Spent], work: Work) -> list[dict[str, str]]:
    warnings = []
    if not costs:
        detail = "no cost is booked on the initiative or its campaigns in this window: a return needs one"
        warnings.append({"code": "no_costs", "detail": detail})
    if work.as_of < work.window[1] or work.window[1] <= work.window[0]:
        warnings.append({"code": "not_begun", "detail": "the initiative has not begun yet"})
    return warnings
