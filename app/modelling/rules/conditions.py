"""What a rule can say, as frozen values: the one form that grammar, SQL, evaluation and wording share."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Operator = Literal[
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "between",
    "in",
    "not_in",
    "is_known",
    "is_unknown",
    "contains",
    "starts_with",
]
Scalar = bool | int | float | str
Effect = Literal["include", "exclude"]


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of the parts holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Condition"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A feature against nothing (is_known, is_unknown), one value, or several (between: two; in, not_in: sorted)."""

    feature: str
    op: Operator
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """A kind of fact: purchase, refund or an event type, and what narrows it. within_days: at most so old at as_of."""

    type: str
    channel: str | None = None
    campaign_id: str | None = None
    product_id: str | None = None
    within_days: int | None = None


@dataclass(frozen=True, slots=True)
class Did:
    """So many such facts lie before as_of; at_most None: or more."""

    deed: Deed
    at_least: int
    at_most: int | None = None

    @property
    def name(self) -> str:
        """Of the column with the count, which conditions that differ in their bounds alone share."""
        return _named("did", _deed_json(self.deed))


@dataclass(frozen=True, slots=True)
class DidThen:
    """At least one `first` that a `then` followed within so many days or, unless `follows`, that none did."""

    first: Deed
    then: Deed
    within_days: int
    follows: bool

    @property
    def name(self) -> str:
        """Of the column with the number of such firsts."""
        return _named("sequence", condition_json(self))


@dataclass(frozen=True, slots=True)
class InSegment:
    """The customer is in this segment of another segmentation at as_of."""

    segmentation_id: UUID
    key: str

    @property
    def name(self) -> str:
        """Of the column that is 1 for members and 0 for everybody else."""
        return _named("segment", condition_json(self))


Leaf = Comparison | Did | DidThen | InSegment
Condition = Every | Some | Not | Leaf


@dataclass(frozen=True, slots=True)
class Rule:
    """A segment and who belongs in it."""

    key: str
    name: str
    when: Condition
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ByHand:
    """Somebody decided about one customer and one segment; the rules do not."""

    key: str
    customer_id: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in the order in which they are tried.

    by_hand: as asked for with the rules, each once. Not a part of their JSON: it names people, and so is kept where
    erasure reaches it.
    """

    rules: tuple[Rule, ...]
    by_hand: tuple[ByHand, ...] = field(default=(), compare=False)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(rule.key for rule in self.rules)


def to_json(ruleset: RuleSet) -> list[dict[str, Any]]:
    """The canonical form, with every default said: what is stored, and what `parse` reads back to equal rules."""
    return [
        {
            "key": rule.key,
            "name": rule.name,
            **({} if rule.description is None else {"description": rule.description}),
            "when": condition_json(rule.when),
        }
        for rule in ruleset.rules
    ]


def condition_json(condition: Condition) -> dict[str, Any]:
    """One condition in canonical form."""
    match condition:
        case Every(parts):
            return {"all": [condition_json(part) for part in parts]}
        case Some(parts):
            return {"any": [condition_json(part) for part in parts]}
        case Not(part):
            return {"not": condition_json(part)}
        case Comparison():
            return _comparison_json(condition)
        case Did(deed, at_least, at_most):
            most = {} if at_most is None else {"at_most": at_most}
            return {"did": {**_deed_json(deed), "at_least": at_least, **most}}
        case DidThen(first, then, within_days, follows):
            after = "then" if follows else "then_not"
            return {"did": _deed_json(first), after: _deed_json(then), "within_days": within_days}
        case InSegment(segmentation_id, key):
            return {"segment": {"segmentation_id": str(segmentation_id), "key": key}}


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    said: dict[str, Any] = {"feature": comparison.feature, "op": comparison.op}
    if comparison.op in ("between", "in", "not_in"):
        return {**said, "value": list(comparison.values)}
    return {**said, "value": comparison.values[0]} if comparison.values else said


def _deed_json(deed: Deed) -> dict[str, Any]:
    said = {
        "type": deed.type,
        "channel": deed.channel,
        "campaign_id": deed.campaign_id,
        "product_id": deed.product_id,
        "within_days": deed.within_days,
    }
    return {name: value for name, value in said.items() if value is not None}


def _named(prefix: str, said: Mapping[str, Any]) -> str:
    # A digest, because columns of PostgreSQL have names of at most 63 bytes and what is said may be longer.
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return f"{prefix}_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def leaves(ruleset: RuleSet) -> Iterator[tuple[str, Leaf]]:
    """Everything that is asked of a customer, in order, each with the JSON pointer to where it is said."""
    for place, rule in enumerate(ruleset.rules):
        yield from _leaves(rule.when, f"/rules/{place}/when")


def _leaves(condition: Condition, pointer: str) -> Iterator[tuple[str, Leaf]]:
    match condition:
        case Every(parts) | Some(parts):
            word = "all" if isinstance(condition, Every) else "any"
            for place, part in enumerate(parts):
                yield from _leaves(part, f"{pointer}/{word}/{place}")
        case Not(part):
            yield from _leaves(part, f"{pointer}/not")
        case _:
            yield pointer, condition
