"""The methods there are, and what of a request each has a use for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import MethodNotAvailable
from app.modelling.segments import clusters, rfm, written
from app.modelling.segments.assigning import Assigner

# What a request may say besides name, method, as_of and min_segment_share.
CHOICES = ("features", "k", "k_range", "params", "rules", "seed")


@dataclass(frozen=True, slots=True)
class Method:
    """One way to segment. takes: the choices it has a use for; assigner: a fitted version of it at work."""

    name: str
    takes: frozenset[str]
    assigner: Callable[[Mapping[str, Any], UUID], Assigner]
    default_features: tuple[str, ...] = rfm.FEATURES


_LEARNED = frozenset({"features", "k", "k_range", "params", "seed"})
_FREE = _LEARNED - {"k", "k_range"}

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("rfm", frozenset(), rfm.assigner),
        Method("kmeans", _LEARNED, clusters.assigner),
        Method("gaussian_mixture", _LEARNED, clusters.assigner),
        Method("hierarchical", _LEARNED, clusters.assigner),
        Method("dbscan", _FREE, clusters.assigner),
        Method("decision_tree", _FREE, clusters.assigner),
        Method("rules", frozenset({"rules"}), written.assigner, ()),
    )
}


def method_named(name: str) -> Method:
    """The method of this name. Raises MethodNotAvailable, saying which there are."""
    if name not in METHODS:
        raise MethodNotAvailable(f"The method {name!r} is not available; available: {', '.join(METHODS)}")
    return METHODS[name]
