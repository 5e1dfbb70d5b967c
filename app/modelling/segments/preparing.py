"""From what was asked for to what is to be learned: names become features, attributes get their types."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.engine import Session
from app.errors import FieldError, UnknownFeature
from app.modelling.features.compiler import Reporting
from app.modelling.features.definitions import Feature, feature_of
from app.modelling.features.derived import Derived
from app.modelling.features.resolving import resolve_features
from app.modelling.rules.grammar import parse
from app.modelling.rules.history import by_hand
from app.modelling.rules.requirements import attribute_dtypes, derived, feature_names
from app.modelling.segments.clusters import BUYERS, EVERYBODY, read_by
from app.modelling.segments.methods import method_named
from app.modelling.segments.task import Previous, Task

# Sources of which a customer who never bought has nothing.
_OF_PURCHASES = ("transactions", "items")


async def task_of(
    session: Session,
    method: str,
    request: Mapping[str, Any],
    *,
    segmentation_id: UUID,
    as_of: datetime,
    reporting: Reporting,
) -> Task:
    """What to learn. Raises UnknownFeature and InvalidInput."""
    params = dict(request.get("params") or {})
    label = params.get("label") if method == "decision_tree" else None
    if method == "rules":
        features = await _of_rules(session, request["rules"], as_of=as_of)
    else:
        names = request.get("features") or method_named(method).default_features
        features = await resolve_features(session, list(dict.fromkeys(names)), as_of=as_of)
    if label is not None:
        features = (*(each for each in features if each.name != label), await _label(session, label, as_of=as_of))
    k_range = request.get("k_range")
    return Task(
        method=method,
        segmentation_id=str(segmentation_id),
        features=[{"name": each.name, "dtype": each.dtype, "kind": each.kind} for each in features],
        population=population_of(method, [each for each in features if each.name != label]),
        currency=reporting.currency,
        min_segment_share=request["min_segment_share"],
        k=request.get("k"),
        k_range=(k_range[0], k_range[1]) if k_range else None,
        params=params,
        rules=request.get("rules") or (),
        label=label,
        seed=request.get("seed") or 0,
    )


async def _label(session: Session, name: str, *, as_of: datetime) -> Feature:
    """What a tree is to tell; numbers told apart are classes as well as words are."""
    try:
        await resolve_features(session, [name], as_of=as_of)
    except UnknownFeature as error:
        raise unknown_label(error.errors[0].detail) from None
    return feature_of(name, "category")


def unknown_label(why: str) -> UnknownFeature:
    """The refusal of what a tree was to tell."""
    return UnknownFeature(why, errors=[FieldError("/params/label", "unknown_feature", why)])


async def _of_rules(session: Session, rules: Sequence[Mapping[str, Any]], *, as_of: datetime) -> tuple[Feature, ...]:
    """The features that rules compare; how an attribute is compared says what it is read as."""
    ruleset = parse(list(rules))
    resolved = await resolve_features(session, list(feature_names(ruleset)), as_of=as_of)
    dtypes = attribute_dtypes(ruleset, {each.name: each.dtype for each in resolved})
    return tuple(feature_of(each.name, dtypes.get(each.name, each.dtype)) for each in resolved)


def population_of(method: str, features: Sequence[Feature]) -> str:
    """Those who bought, where a method knows nothing but purchases; otherwise everybody."""
    bought = method == "rfm" or (method != "rules" and all(each.source in _OF_PURCHASES for each in features))
    return BUYERS if bought else EVERYBODY


def retyped(one: Sequence[Mapping[str, str]], other: Sequence[Mapping[str, str]]) -> list[str]:
    """The features that are read as one type here and as another there."""
    dtypes = {each["name"]: each["dtype"] for each in one}
    return [each["name"] for each in other if dtypes.get(each["name"], each["dtype"]) != each["dtype"]]


def read_for(task: Task, previous: Previous | None) -> tuple[list[Feature], list[Derived]]:
    """What is read of the population to learn this, and to recognise the segments of the version before."""
    previous = None if previous and previous.retyped else previous
    before = previous.document if previous else None
    named = [*task.features, *(before["features"] if before else ())]
    features = read_by([feature_of(each["name"], each["dtype"]) for each in named], task.population)
    if task.method != "rules":
        return list(features), []
    written = before["fitted"]["rules"] if before else []
    columns = [column for rules in (task.rules, written) if rules for column in derived(parse(list(rules)))]
    return list(features), [*columns, by_hand(UUID(task.segmentation_id))]
