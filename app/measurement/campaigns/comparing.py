"""An arm against the holdout, from sums alone: effect, lift, what is believed, what it would take to know more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from app.measurement.campaigns.definitions import Metric
from app.measurement.campaigns.outcomes import ArmSums, Outcomes
from app.money import exponent
from app.stats.comparison import means, proportions
from app.stats.comparison.bayesian import posterior
from app.stats.comparison.cuped import adjusted
from app.stats.comparison.difference import Difference
from app.stats.comparison.multiple import benjamini_hochberg, shrunk
from app.stats.comparison.power import growth_needed, minimum_detectable_effect, power
from app.stats.comparison.ratios import as_mean
from app.stats.comparison.sequential import always_valid, always_valid_p
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate, Undetermined
from app.stats.proportion import proportion_interval
from app.tables.campaigns import HOLDOUT

# Less than this of the variance is not worth a second figure.
WORTH_SHOWING = 0.001
SECONDS_OF_A_DAY = 86_400
# An effect that takes a hundred times as many customers is as good as none.
HOPELESS = 100.0
MARGIN_UNKNOWN = "margin_unknown"

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manner:
    """How arms are compared: in which currency and by whose days, the level of intervals, what they are tuned for."""

    currency: str
    zone: tzinfo
    level: float
    tuning: float

    def unit(self, metric: Metric) -> float:
        """What an answer's unit is in that of the sums."""
        return 10.0 ** exponent(self.currency) if metric.is_money else 1.0


def comparisons(found: Outcomes, metric: Metric, *, manner: Manner) -> list[Shown]:
    """Every other arm against the holdout, by one metric."""
    control = found.arm(HOLDOUT)
    others = [each for each in found.arms if each.arm != HOLDOUT]
    unknown = metric.figure == "margin" and any(each.without_margin for each in found.arms)
    if unknown:
        n = sum(each.n for each in found.arms)
        nothing = {"value": None, "reason": MARGIN_UNKNOWN, "n": n}
        names = ("effect", "lift", "always_valid", "always_valid_lift")
        return [{"arm": each.arm, "metric": metric.name, **dict.fromkeys(names, nothing)} for each in others]
    helped = _adjusted(found, metric)
    return [
        _comparison(arm, control, metric, manner=manner, found=found) | _cuped(helped, place, metric, manner=manner)
        for place, arm in enumerate(others, start=1)
    ]


def _comparison(arm: ArmSums, control: ArmSums, metric: Metric, *, manner: Manner, found: Outcomes) -> Shown:
    pair = _as_means(metric, arm), _as_means(metric, control)
    effect, lift = _difference(*pair), _lift(*pair)
    unit = manner.unit(metric)
    shown: Shown = {
        "arm": arm.arm,
        "metric": metric.name,
        "treated": _level_of(metric, arm, unit),
        "control": _level_of(metric, control, unit),
        "effect": _effect(metric, arm, control, effect, manner=manner),
        "lift": _interval(lift, manner=manner),
        "always_valid": _sequence(effect, manner=manner, unit=unit),
        "always_valid_lift": _sequence(lift, manner=manner),
    }
    if isinstance(effect, Difference) and effect.standard_error > 0:
        shown["bayesian"] = _believed(effect, manner=manner, unit=unit)
        shown["power"] = _power(effect, pair[1], found=found, manner=manner, unit=unit)
    if found.by_segment:
        shown["by_segment"] = _by_segment(arm.arm, metric, found.by_segment, manner=manner)
    return shown


def _as_means(metric: Metric, arm: ArmSums) -> Sums | Undetermined:
    sums = arm.sums[metric.name]
    return as_mean(sums) if metric.kind == "ratio" else sums


def _difference(treated: Sums | Undetermined, control: Sums | Undetermined) -> Difference | Undetermined:
    if isinstance(treated, Undetermined):
        return treated
    return control if isinstance(control, Undetermined) else means.effect(treated, control)


def _lift(treated: Sums | Undetermined, control: Sums | Undetermined) -> Difference | Undetermined:
    if isinstance(treated, Undetermined):
        return treated
    return control if isinstance(control, Undetermined) else means.lift(treated, control)


def _level_of(metric: Metric, arm: ArmSums, unit: float) -> float | None:
    """The metric itself in one arm."""
    sums = _as_means(metric, arm)
    return None if isinstance(sums, Undetermined) or sums.n == 0 else float(sums.mean) / unit


def _effect(
    metric: Metric, arm: ArmSums, control: ArmSums, effect: Difference | Undetermined, *, manner: Manner
) -> Shown:
    """Shares by Newcombe's interval and the pooled test, all else by Welch's."""
    if metric.kind != "share":
        return _interval(effect, manner=manner, unit=manner.unit(metric))
    treated, held = arm.sums[metric.name], control.sums[metric.name]
    if min(treated.n, held.n) == 0:
        return shown(Undetermined("no_exposures", treated.n + held.n))
    one, other = (proportion_interval(float(each.total), each.n, level=manner.level) for each in (treated, held))
    p_value = proportions.pooled_p_value((float(treated.total), treated.n), (float(held.total), held.n))
    return {**shown(proportions.difference(one, other)), "p_value": p_value}


def _interval(difference: Difference | Undetermined, *, manner: Manner, unit: float = 1.0) -> Shown:
    if isinstance(difference, Undetermined):
        return shown(difference)
    return {**shown(difference.interval(level=manner.level), unit=unit), "p_value": difference.p_value}


def _sequence(difference: Difference | Undetermined, *, manner: Manner, unit: float = 1.0) -> Shown:
    if isinstance(difference, Undetermined):
        return shown(difference)
    found = always_valid(difference, level=manner.level, tuning=manner.tuning)
    p_value = always_valid_p(difference, level=manner.level, tuning=manner.tuning)
    return {**shown(found, unit=unit), "p_value": p_value}


def _adjusted(found: Outcomes, metric: Metric) -> Mapping[str, Any] | None:
    """All arms with the pre-period taken out, the holdout first; null where it does not help."""
    if metric.figure not in ("revenue", "margin"):
        return None
    inhabited = [each for each in found.arms if each.n > 0]
    if len(inhabited) < len(found.arms):
        return None
    better = adjusted([each.sums[metric.name] for each in found.arms])
    if isinstance(better, Undetermined) or better.variance_explained < WORTH_SHOWING:
        return None
    return {"arms": better.arms, "theta": better.theta, "variance_explained": better.variance_explained}


def _cuped(better: Mapping[str, Any] | None, place: int, metric: Metric, *, manner: Manner) -> Shown:
    if better is None:
        return {}
    effect = means.effect(better["arms"][place], better["arms"][0])
    explained = {name: better[name] for name in ("variance_explained", "theta")}
    lift = means.lift(better["arms"][place], better["arms"][0])
    return {
        "cuped": {
            **_interval(effect, manner=manner, unit=manner.unit(metric)),
            **explained,
            "lift": _interval(lift, manner=manner),
        }
    }


def _believed(effect: Difference, *, manner: Manner, unit: float) -> Shown:
    found = posterior(effect, level=manner.level)
    if isinstance(found, Undetermined):
        return shown(found)
    return {
        **shown(found.difference, unit=unit),
        "chance_to_win": found.chance_to_win,
        "loss_if_chosen": found.loss_if_chosen / unit,
        "loss_if_rejected": found.loss_if_rejected / unit,
    }


def _power(effect: Difference, control: Sums | Undetermined, *, found: Outcomes, manner: Manner, unit: float) -> Shown:
    """What could have been found, and how long it would take to be sure of an effect like the one seen."""
    error = effect.standard_error
    least = minimum_detectable_effect(error, level=manner.level)
    mean = float(control.mean) if isinstance(control, Sums) and control.n else 0.0
    answer: Shown = {
        "power": power(effect.value, error, level=manner.level),
        "minimum_detectable_effect": least / unit,
        "minimum_detectable_lift": least / mean if mean > 0 else None,
        "growth_needed": None,
        "days_needed": None,
    }
    if effect.value == 0.0:
        return answer
    growth = growth_needed(effect.value, error, level=manner.level)
    days = _days_so_far(found)
    if growth <= HOPELESS:
        answer["growth_needed"] = growth
        if found.as_of < found.campaign.ends_at and days is not None:
            answer["days_needed"] = max(math.ceil((growth - 1) * days), 0)
    return answer


def _days_so_far(found: Outcomes) -> float | None:
    """How long customers have been coming in; null where all came at once, which is no traffic to go on at."""
    first, last = found.people.first_at, found.people.last_at
    if first is None or last is None or last == first:
        return None
    until: datetime = min(found.as_of, found.campaign.ends_at)
    return max((until - first).total_seconds() / SECONDS_OF_A_DAY, 0.0)


def _by_segment(arm: str, metric: Metric, pieces: Sequence[ArmSums], *, manner: Manner) -> list[Shown]:
    """The arm against the holdout in each segment: p-values for looking at all of them, estimates drawn together."""
    segments = list(dict.fromkeys(each.segment_id for each in pieces))
    empty = Sums(0, 0, 0)
    rows: list[Shown] = []
    differences: list[Difference | Undetermined] = []
    for segment_id in segments:
        here = {each.arm: each for each in pieces if each.segment_id == segment_id}
        pair = [_as_means(metric, here[name]) if name in here else empty for name in (arm, HOLDOUT)]
        difference = _difference(*pair)
        differences.append(difference)
        sizes = {"n_treated": here[arm].n if arm in here else 0, "n_control": here[HOLDOUT].n if HOLDOUT in here else 0}
        effect = _interval(difference, manner=manner, unit=manner.unit(metric))
        rows.append(
            {"segment_id": segment_id, **sizes, "effect": effect, "lift": _interval(_lift(*pair), manner=manner)}
        )
    _adjust_for_many(rows)
    _draw_together(rows, differences, manner=manner, unit=manner.unit(metric))
    return rows


def _adjust_for_many(rows: Sequence[Shown]) -> None:
    tested = [row["effect"] for row in rows if row["effect"].get("p_value") is not None]
    for effect, p_value in zip(tested, benjamini_hochberg([each["p_value"] for each in tested]), strict=True):
        effect["p_value_adjusted"] = float(p_value)


def _draw_together(
    rows: Sequence[Shown], differences: Sequence[Difference | Undetermined], *, manner: Manner, unit: float
) -> None:
    known = [
        (row, each)
        for row, each in zip(rows, differences, strict=True)
        if isinstance(each, Difference) and each.standard_error > 0
    ]
    found = shrunk([each for _, each in known], level=manner.level)
    if not isinstance(found, Undetermined):
        for (row, _), estimate in zip(known, found.each, strict=True):
            row["shrunk"] = shown(estimate, unit=unit)


def shown(found: Estimate | Undetermined, *, unit: float = 1.0) -> Shown:
    """An estimate as it is answered, in units of the answer."""
    if isinstance(found, Undetermined):
        return {"value": None, "reason": found.reason, "n": found.n}
    answer: Shown = {
        "value": found.value / unit,
        "low": None if found.low is None else found.low / unit,
        "high": None if found.high is None else found.high / unit,
        "level": found.level,
        "method": found.method,
        "n": found.n,
    }
    return answer if found.reason is None else {**answer, "reason": found.reason}
