"""The MASDA card of segments: measurable, accessible, substantial, differentiable, actionable, each as a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.features.columns import Floats, Values
from app.modelling.features.definitions import BY_NAME, Feature
from app.modelling.segments.judgement.columns import (
    CONSENT_MARKETING,
    CONSENT_PROFILING,
    EXPOSED,
    REACHABLE,
    RESPONDED,
    REVENUE,
)
from app.modelling.segments.judgement.effects import Effect, Groups, Integers, known_shares, magnitude, of_number
from app.stats.effect_size import eta_squared
from app.stats.estimate import Estimate, Undetermined
from app.stats.proportion import proportion_interval

# Behaviour of less than a week is the weekday's rather than the segment's.
LEAST_DAYS = 7.0
# Compared like total_spend, whose definition it shares but for the time.
_AFTER = BY_NAME[REVENUE]

Entry = dict[str, Any]


def scorecard(
    values: Values,
    labels: Integers,
    *,
    read: Sequence[Feature],
    spend_after: Floats | None,
    days_after: float,
    k: int | None = None,
) -> list[Entry]:
    """For each label 0..k-1 the five entries: value, reason where it is null, detail.

    values hold `read`, the columns of CIRCUMSTANCES and total_spend; what is not there is null with "not_read". read:
    what the version reads. spend_after: what each customer spent in the days_after days since the version was fitted;
    None: unknown. Customers labelled -1 are in no segment but among everyone.
    """
    groups = Groups.of(labels, k)
    entries = {
        "measurable": _measurable(values, groups, read),
        "accessible": _accessible(values, groups),
        "substantial": _substantial(values, groups),
        "differentiable": _differentiable(spend_after, days_after, groups),
        "actionable": _actionable(values, groups),
    }
    return [
        {
            name: of_segment[label] if groups.sizes[label] else _null("no_members")
            for name, of_segment in entries.items()
        }
        for label in range(groups.k)
    ]


def _entry(value: float, **detail: Any) -> Entry:
    return {"value": value, "detail": detail}


def _null(reason: str, **detail: Any) -> Entry:
    return {"value": None, "reason": reason, "detail": detail}


def _measurable(values: Values, groups: Groups, read: Sequence[Feature]) -> list[Entry]:
    features = [feature for feature in dict.fromkeys(read) if feature.name in values]
    if not features:
        return [_null("not_read")] * groups.k
    shares = known_shares(values, groups, features)
    return [
        _entry(
            float(row.mean()), known={feature.name: float(share) for feature, share in zip(features, row, strict=True)}
        )
        for row in shares
    ]


def _accessible(values: Values, groups: Groups) -> list[Entry]:
    if not {CONSENT_MARKETING, CONSENT_PROFILING, REACHABLE} <= values.keys():
        return [_null("not_read")] * groups.k
    marketing, profiling, reachable = (values[name] for name in (CONSENT_MARKETING, CONSENT_PROFILING, REACHABLE))
    columns = {
        "consented_share": marketing == 1,
        "refused_share": marketing == 0,
        "not_asked_share": np.isnan(marketing),
        "profiling_consented_share": profiling == 1,
    }
    details = {name: _shares(column, groups) for name, column in columns.items()}
    reached = _shares(reachable == 1, groups)
    return [
        _entry(float(reached[label]), **{name: float(shares[label]) for name, shares in details.items()})
        for label in range(groups.k)
    ]


def _shares(column: npt.NDArray[np.bool_], groups: Groups) -> Floats:
    return groups.per_segment(column.astype(np.float64)) / np.maximum(groups.sizes, 1)


def _substantial(values: Values, groups: Groups) -> list[Entry]:
    """Shares of everyone: of all customers judged, those in no segment included."""
    everyone = max(groups.labels.size, 1)
    revenue = np.nan_to_num(values[REVENUE]) if REVENUE in values else np.zeros(groups.labels.size)
    total, of_segment = float(revenue.sum()), groups.per_segment(revenue)
    found = []
    for size, spent in zip(groups.sizes.tolist(), of_segment.tolist(), strict=True):
        size_share, revenue_share = size / everyone, spent / total if total > 0 else None
        value, basis = (size_share, "size") if revenue_share is None else (revenue_share, "revenue")
        found.append(_entry(value, basis=basis, size=size, size_share=size_share, revenue_share=revenue_share))
    return found


def _differentiable(spend_after: Floats | None, days_after: float, groups: Groups) -> list[Entry]:
    """Cliff's delta of what members spent after the fit against all others."""
    if spend_after is None or days_after < LEAST_DAYS:
        return [_null("no_behaviour_after_fit", days=float(days_after))] * groups.k
    spend = np.where(np.isfinite(spend_after), spend_after, 0.0)
    if not spend.any():
        return [_null("no_purchases_after_fit", days=float(days_after))] * groups.k
    effect = of_number(_AFTER, spend, groups)
    whole = _of_segmentation(spend, groups)
    return [_different(effect, label, groups, spend=spend / days_after, whole=whole) for label in range(groups.k)]


def _different(effect: Effect, label: int, groups: Groups, *, spend: Floats, whole: Mapping[str, Any]) -> Entry:
    delta = float(effect.against_others[label])
    mine, others = (int(side[label]) for side in effect.compared)
    if not np.isfinite(delta):
        return _null("no_others", **whole)
    members = groups.members(label)
    outside = groups.labels.size - members.size
    total = float(spend.sum())
    return _entry(
        delta,
        magnitude=magnitude(delta),
        interval=_interval(delta, min(mine, others)),
        spend_per_day=float(spend[members].mean()),
        spend_per_day_of_others=(total - float(spend[members].sum())) / outside,
        **whole,
    )


def _interval(delta: float, fewer: int) -> Entry:
    """An interval that is too wide rather than too narrow.

    The variance of a probability of superiority is at most p (1 - p) / the smaller group (Birnbaum, Z. W. and Klose,
    O. M. (1957). Bounds for the variance of the Mann-Whitney statistic. Annals of Mathematical Statistics 28, 933-945):
    that of a share of so many, whose interval is Wilson's.
    """
    found = proportion_interval((delta + 1.0) / 2.0 * fewer, fewer)
    if isinstance(found, Undetermined) or found.low is None or found.high is None:
        return {"low": None, "high": None}
    return {
        "low": 2.0 * found.low - 1.0,
        "high": 2.0 * found.high - 1.0,
        "level": found.level,
        "method": "birnbaum_klose",
    }


def _of_segmentation(spend: Floats, groups: Groups) -> Entry:
    """The share of the variance of log spend that lies between segments, and what chance alone would give."""
    inside = groups.labels >= 0
    logged = np.sign(spend[inside]) * np.log1p(np.abs(spend[inside]))
    found = eta_squared(logged, groups.labels[inside])
    if isinstance(found, Undetermined):
        return {"eta_squared": None, "eta_squared_by_chance": None, "eta_squared_reason": found.reason}
    segments = int((groups.sizes > 0).sum())
    return {"eta_squared": found, "eta_squared_by_chance": (segments - 1) / (int(inside.sum()) - 1)}


def _actionable(values: Values, groups: Groups) -> list[Entry]:
    """The rate of response of the members, less that of everyone."""
    if not {EXPOSED, RESPONDED} <= values.keys():
        return [_null("not_read")] * groups.k
    exposed = np.nan_to_num(values[EXPOSED])
    # A response without an exposure is none.
    responded = np.minimum(np.nan_to_num(values[RESPONDED]), exposed)
    if not exposed.any():
        return [_null("no_campaigns")] * groups.k
    columns = (exposed, responded, (exposed > 0).astype(np.float64))
    everyone = _rate(*(float(column.sum()) for column in columns))
    by_segment = zip(*(groups.per_segment(column).tolist() for column in columns), strict=True)
    return [_acting(_rate(*sums), everyone, int(sums[0])) for sums in by_segment]


def _rate(exposures: float, responses: float, people: float) -> Estimate | None:
    """Responses per exposure, of as many observations as there are people: those of one person are not independent."""
    if exposures == 0:
        return None
    found = proportion_interval(min(responses / exposures * people, people), int(people))
    assert isinstance(found, Estimate), "whoever was exposed is somebody"
    return found


def _acting(mine: Estimate | None, everyone: Estimate | None, exposures: int) -> Entry:
    if mine is None or everyone is None:
        return _null("no_exposures", exposures=exposures)
    return _entry(
        mine.value - everyone.value, response_rate=_shown(mine), everyone=_shown(everyone), exposures=exposures
    )


def _shown(rate: Estimate) -> Entry:
    return {each: getattr(rate, each) for each in ("value", "low", "high", "level", "method", "n")}
