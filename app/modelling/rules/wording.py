"""Conditions in words that a person can read: for traces, for reasons of memberships, for the catalogue of rules."""

from app.modelling.rules.conditions import (
    Comparison,
    Condition,
    Deed,
    Did,
    DidThen,
    Every,
    InSegment,
    Not,
    Scalar,
    Some,
)

# Longer lists are counted, not read.
SHOWN_VALUES = 10
SHOWN_TEXT = 60


def describe(condition: Condition) -> str:
    """A condition as one line, such as `purchase_count_90d >= 3 and attributes.country in (AT, DE)`."""
    match condition:
        case Every(parts):
            return _joined(parts, "and")
        case Some(parts):
            return _joined(parts, "or")
        case Not(part):
            return f"not ({describe(part)})"
        case Comparison():
            return _comparison(condition)
        case Did():
            return _count(condition)
        case DidThen(first, then, within_days, follows):
            after = "then" if follows else "then no"
            return f"{_deed(first)}, {after} {_deed(then)} within {_days(within_days)} of it"
        case InSegment(segmentation_id, key):
            return f"in segment {key} of {segmentation_id}"


def shortened(text: str, *, at_most: int) -> str:
    """Text cut where it is longer, which an ellipsis shows."""
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"


def _joined(parts: tuple[Condition, ...], word: str) -> str:
    if len(parts) == 1:
        return describe(parts[0])
    # Words alone do not say which of `and` and `or` binds closer, nor where a sequence ends.
    shown = [f"({describe(part)})" if isinstance(part, Every | Some | DidThen) else describe(part) for part in parts]
    return f" {word} ".join(shown)


def _comparison(comparison: Comparison) -> str:
    feature, op, values = comparison.feature, comparison.op, [_value(each) for each in comparison.values]
    match op:
        case "is_known" | "is_unknown":
            return f"{feature} {op.replace('_', ' ')}"
        case "between":
            return f"{feature} between {values[0]} and {values[1]}"
        case "in" | "not_in":
            more = len(values) - SHOWN_VALUES
            listed = ", ".join([*values[:SHOWN_VALUES], *([f"and {more:,} more"] if more > 0 else [])])
            return f"{feature} {op.replace('_', ' ')} ({listed})"
        case _:
            return f"{feature} {op.replace('_', ' ')} {values[0]}"


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return shortened(value, at_most=SHOWN_TEXT) if isinstance(value, str) else str(value)


def _count(did: Did) -> str:
    what = _deed(did.deed)
    if did.at_most is None:
        return f"{what} at least {_times(did.at_least)}"
    if did.at_most == 0:
        return f"no {what}"
    if did.at_least == did.at_most:
        return f"{what} exactly {_times(did.at_least)}"
    if did.at_least == 0:
        return f"{what} at most {_times(did.at_most)}"
    return f"{what} {did.at_least:,} to {_times(did.at_most)}"


def _deed(deed: Deed) -> str:
    narrowed = (
        ("by channel", deed.channel),
        ("of campaign", deed.campaign_id),
        ("of product", deed.product_id),
    )
    words = [deed.type, *(f"{word} {_value(value)}" for word, value in narrowed if value is not None)]
    if deed.within_days is not None:
        words.append(f"in the last {_days(deed.within_days)}")
    return " ".join(words)


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"


def _times(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"
