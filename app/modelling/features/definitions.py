"""Every feature, defined once: the select, the registry over HTTP and the documentation derive from it.

An expression is written over the facts of one customer from one source, all of them strictly before `as_of`. A
window narrows it to the facts at most so many days (of 24 hours) old. Where an expression has no value the policy
`missing` decides: "zero" where nothing happened and that is a figure, otherwise the reason why there is none.
"""

from collections.abc import Iterable, Mapping, Sequence

from app.errors import FieldError, UnknownFeature
from app.modelling.features.attributes import AttributeType, attribute_feature, is_attribute
from app.modelling.features.engagement import ENGAGEMENT
from app.modelling.features.facts import CURRENCY, DType, Facts, Feature, Grain, Kind, Missing, Source, Value
from app.modelling.features.habits import HABITS
from app.modelling.features.spending import SPENDING

__all__ = [
    "BY_NAME",
    "CURRENCY",
    "FEATURES",
    "DType",
    "Facts",
    "Feature",
    "Grain",
    "Kind",
    "Missing",
    "Source",
    "Value",
    "feature_of",
    "features_named",
    "unknown_features",
]

FEATURES: tuple[Feature, ...] = (*SPENDING, *HABITS, *ENGAGEMENT)

BY_NAME: Mapping[str, Feature] = {feature.name: feature for feature in FEATURES}

_ATTRIBUTE_TYPES: Mapping[str, AttributeType] = {"number": "number", "category": "category", "date": "date"}


def features_named(names: Iterable[str]) -> tuple[Feature, ...]:
    """The registry's features of these names, in this order. Raises UnknownFeature, naming each that does not exist."""
    names = list(names)
    unknown = [(place, name) for place, name in enumerate(names) if name not in BY_NAME]
    if unknown:
        raise unknown_features([(place, f"{name!r} is not a feature") for place, name in unknown])
    return tuple(BY_NAME[name] for name in names)


def feature_of(name: str, dtype: str) -> Feature:
    """A feature as it was persisted: of the registry, or an attribute with the type settled then.

    Raises UnknownFeature.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    if is_attribute(name) and dtype in _ATTRIBUTE_TYPES:
        return attribute_feature(name, _ATTRIBUTE_TYPES[dtype])
    raise unknown_features([(0, f"{name!r} of type {dtype!r} is not a feature")])


def unknown_features(found: Sequence[tuple[int, str]]) -> UnknownFeature:
    """The refusal of names, by their place in the request, each with the reason."""
    return UnknownFeature(
        f"{'; '.join(why for _, why in found)}. Known are attributes.<name> and {', '.join(BY_NAME)}",
        errors=[FieldError(f"/features/{place}", "unknown_feature", why) for place, why in found],
    )
