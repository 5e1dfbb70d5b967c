"""A result in plain sentences that claim no more than an always-valid interval on the relative scale does."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.measurement.campaigns.definitions import BY_NAME

Shown = Mapping[str, Any]

WHY = {
    "no_exposures": "an arm has no customers yet",
    "too_few": "too few customers to say",
    "zero_denominator": "there is nothing in the holdout to compare with",
    "margin_unknown": "some transactions do not say their margin",
    "zero_variance": "nothing differs between customers",
}
# More than this many days is not worth waiting for, and no plan.
LONGEST_WAIT_DAYS = 365


def summary(comparisons: Sequence[Shown], *, metric: str, sample_ratio: Shown, maturity: Shown) -> str:
    """What the campaign's first metric says, arm by arm; what forbids a conclusion comes first."""
    sentences = []
    mismatch = sample_ratio.get("ok") is False
    if mismatch:
        sentences.append(
            f"These results are not to be trusted: customers are not in the arms as planned "
            f"(sample ratio mismatch, p = {sample_ratio['p_value']:.2g})."
        )
    first = [each for each in comparisons if each["metric"] == metric]
    sentences += [sentence(each, settled=not mismatch) for each in first]
    if maturity["pending"]:
        part = "So far: " if maturity["mature"] else "Nobody's time is over yet: "
        sentences.append(
            f"{part}{maturity['pending']:,} of {maturity['mature'] + maturity['pending']:,} customers are still to come."
        )
    return " ".join(sentences)


def sentence(comparison: Shown, *, settled: bool = True) -> str:
    """One arm: by how much, how sure, and what is missing."""
    arm, noun = comparison["arm"], BY_NAME[comparison["metric"]].noun
    lift, effect = comparison["always_valid_lift"], comparison["always_valid"]
    relative = lift.get("value") is not None
    found = lift if relative else effect
    if found.get("value") is None:
        return f"{_named(arm)}: nothing can be said of {noun}: {WHY.get(found['reason'], found['reason'])}."
    amount = _percent if relative else _number
    change = f"{_named(arm)}: {noun} {_moved(found['value'], amount)} than in the holdout"
    if found.get("low") is None:
        return f"{change}; there is no interval: {WHY.get(found['reason'], found['reason'])}."
    level = f"{100 * found['level']:g} %"
    interval = f"always-valid {level} interval {amount(found['low'])} to {amount(found['high'])}"
    return f"{change} ({interval}): {_verdict(found, comparison.get('power'), settled=settled)}."


def _named(arm: str) -> str:
    return arm[:1].upper() + arm[1:]


def _moved(value: float, amount: Any) -> str:
    if value == 0:
        return "no other"
    return f"{amount(abs(value))} {'higher' if value > 0 else 'lower'}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _verdict(found: Shown, power: Shown | None, *, settled: bool) -> str:
    if not settled:
        return "no conclusion while the arms are not as planned"
    if found["low"] > 0:
        return "the campaign had an effect"
    if found["high"] < 0:
        return "the campaign did harm"
    days = power.get("days_needed") if power else None
    if days and days <= LONGEST_WAIT_DAYS:
        return f"not conclusive; about {days} more days at this traffic"
    growth = power.get("growth_needed") if power else None
    if growth and growth > 1:
        return f"not conclusive; it would take about {growth:.1f} times as many customers"
    return "not conclusive"
