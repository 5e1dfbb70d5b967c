"""What may be asked of each method, refused with the place and the reason before anything is queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from app.db.engine import Session
from app.errors import FieldError, InvalidInput
from app.ml.request import METHODS as LEARNED
from app.ml.request import FitRequest, resolved
from app.modelling.features.attributes import is_attribute
from app.modelling.features.definitions import BY_NAME, unknown_features
from app.modelling.features.repository import survivors
from app.modelling.rules.conditions import RuleSet, to_json
from app.modelling.rules.grammar import parse
from app.modelling.rules.requirements import segments
from app.modelling.segments import repository
from app.modelling.segments.methods import CHOICES, Method, method_named
from app.modelling.segments.preparing import unknown_label
from app.modelling.segments.schemas import RefitIn, SegmentationIn


@dataclass(frozen=True, slots=True)
class Written:
    """Rules as they were asked for, and in the form that is kept, which names no customer."""

    ruleset: RuleSet
    json: list[dict[str, Any]]


async def refuse_what_means_nothing(
    session: Session, method_name: str, asked: SegmentationIn | RefitIn, *, now: datetime
) -> Written | None:
    """Raise MethodNotAvailable, UnknownFeature or InvalidInput for what cannot be learned; the rules, if any."""
    method = method_named(method_name)
    errors = [
        FieldError(f"/{name}", "not_applicable", f"{method.name} has no use for {name}; leave it out")
        for name in CHOICES
        if name not in method.takes and getattr(asked, name) not in (None, {})
    ]
    if asked.as_of is not None and asked.as_of > now:
        errors.append(FieldError("/as_of", "in_the_future", "what happens after now is not known yet"))
    is_new = isinstance(asked, SegmentationIn)
    if method.name == "decision_tree" and is_new and not isinstance((asked.params or {}).get("label"), str):
        detail = "a tree learns to tell labels: name the feature that holds them, such as attributes.plan"
        errors.append(FieldError("/params/label", "missing_field", detail))
    if method.name == "rules" and is_new and not asked.rules:
        errors.append(FieldError("/rules", "missing_field", "rules are what this method is made of"))
    if errors:
        raise InvalidInput(f"Not usable: {', '.join(error.pointer for error in errors)}", errors=errors)
    _refuse_unknown_names(asked.features or (), label=(asked.params or {}).get("label"))
    if method.name in LEARNED:
        _refuse_unusable_choices(method, asked)
    return await _written(session, asked.rules) if asked.rules else None


def _refuse_unknown_names(names: Sequence[str], *, label: Any) -> None:
    strange = [(place, f"{name!r} is not a feature") for place, name in enumerate(names) if not _is_known(name)]
    if strange:
        raise unknown_features(strange)
    if isinstance(label, str) and not _is_known(label):
        raise unknown_label(f"{label!r} is not a feature")


def _is_known(name: str) -> bool:
    return name in BY_NAME or is_attribute(name)


def _refuse_unusable_choices(method: Method, asked: SegmentationIn | RefitIn) -> None:
    """What the pure floor itself says of the numbers and parameters."""
    is_tree = method.name == "decision_tree"
    params = {name: value for name, value in (asked.params or {}).items() if not (is_tree and name == "label")}
    names = method.default_features if asked.features is None else asked.features
    resolved(
        FitRequest(
            method.name,  # type: ignore[arg-type]  # one of LEARNED
            dict.fromkeys(names, "number"),
            asked.k,
            (asked.k_range[0], asked.k_range[1]) if asked.k_range else (2, 10),
            params,
            asked.min_segment_share or 0.0,
            asked.seed or 0,
            np.empty(0, dtype=np.int64) if is_tree else None,
        )
    )


async def _written(session: Session, rules: Sequence[Mapping[str, Any]]) -> Written:
    ruleset = parse(list(rules))
    known = {(each["segmentation_id"], each["key"]) for each in await repository.keyed(session, ruleset_ids(ruleset))}
    missing = [each for each in segments(ruleset) if (each.segmentation_id, each.key) not in known]
    if missing:
        details = [f"there is no segment {each.key!r} of segmentation {each.segmentation_id}" for each in missing]
        raise InvalidInput(
            "; ".join(details), errors=[FieldError("/rules", "unknown_segment", each) for each in details]
        )
    return Written(ruleset, to_json(ruleset))


def ruleset_ids(ruleset: RuleSet) -> list[Any]:
    return [each.segmentation_id for each in segments(ruleset)]


async def decided_by_hand(
    session: Session, rules: Sequence[Mapping[str, Any]] | None, written: Written
) -> list[tuple[str, str, str]]:
    """Key, customer and effect of every decision, each once. Raises InvalidInput for customers nobody knows."""
    decided = written.ruleset.by_hand
    present = await survivors(session, sorted({each.customer_id for each in decided}))
    unknown = {each.customer_id for each in decided} - present.keys()
    if unknown:
        errors = [
            FieldError(f"/rules/{place}/{effect}/{at}", "unknown_customer", "there is no such customer")
            for place, rule in enumerate(rules or ())
            for effect in ("include", "exclude")
            for at, customer_id in enumerate(rule.get(effect) or ())
            if customer_id in unknown
        ]
        raise InvalidInput(f"{len(unknown)} of the customers decided about are not known", errors=errors[:50])
    return sorted({(each.key, present[each.customer_id], each.effect) for each in decided})
