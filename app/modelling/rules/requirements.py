"""What rules need before they can be evaluated: features, columns of histories, other segmentations, and in which order."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from uuid import UUID

from app.errors import FieldError, InvalidInput
from app.modelling.features.derived import Derived
from app.modelling.rules.comparing import ATTRIBUTE
from app.modelling.rules.conditions import Comparison, InSegment, RuleSet, leaves
from app.modelling.rules.history import column_of
from app.modelling.rules.reading import kind_of


def feature_names(ruleset: RuleSet) -> tuple[str, ...]:
    """The features and attributes that are compared, each once, in the order in which they are named."""
    named = (leaf.feature for _, leaf in leaves(ruleset) if isinstance(leaf, Comparison))
    return tuple(dict.fromkeys(named))


def derived(ruleset: RuleSet) -> tuple[Derived, ...]:
    """The columns beside the features that evaluation reads, each once.

    Those of segments say what is stored: whoever has just evaluated the other segmentation puts that instead.
    """
    asked = {leaf.name: leaf for _, leaf in leaves(ruleset) if not isinstance(leaf, Comparison)}
    return tuple(column_of(leaf) for leaf in asked.values())


def segments(ruleset: RuleSet) -> tuple[InSegment, ...]:
    """The segments of other segmentations that are asked about, each once; `name` is that of their column."""
    return tuple(dict.fromkeys(leaf for _, leaf in leaves(ruleset) if isinstance(leaf, InSegment)))


def order(dependencies: Mapping[UUID, Collection[UUID]], names: Mapping[UUID, str] | None = None) -> tuple[UUID, ...]:
    """Segmentations in an order in which each comes after those that its rules ask about.

    dependencies: for each segmentation the ones it asks about, which come along even where they ask nothing. names: to
    be called by. Raises InvalidInput, naming the circle, when there is one.
    """
    sorter: TopologicalSorter[UUID] = TopologicalSorter()
    for segmentation in sorted(dependencies):
        sorter.add(segmentation, *sorted(dependencies[segmentation]))
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        raise _circle(error.args[1], names or {}) from None


def _circle(met: Sequence[UUID], names: Mapping[UUID, str]) -> InvalidInput:
    # The sorter names each before the one that asks about it.
    told = " -> ".join(names.get(each, str(each)) for each in reversed(met))
    detail = f"segments that are defined by each other never come to an end: {told}"
    return InvalidInput(detail, errors=[FieldError("/rules", "segment_cycle", detail)])


def attribute_dtypes(ruleset: RuleSet, found: Mapping[str, str]) -> dict[str, str]:
    """As what each attribute that is compared has to be read: number, category or date.

    found: what the stored values say, as far as they say anything. What the rules compare it with decides first: who
    looks for text in it needs text, even where all values happen to spell numbers, and text that spells a number is
    compared as one. Raises InvalidInput for a date that is compared with both texts and numbers of days.
    """
    asked: dict[str, list[tuple[str, Comparison]]] = {}
    for pointer, leaf in leaves(ruleset):
        if isinstance(leaf, Comparison) and leaf.feature.startswith(ATTRIBUTE):
            asked.setdefault(leaf.feature, []).append((pointer, leaf))
    return {name: _dtype(name, comparisons, found.get(name)) for name, comparisons in asked.items()}


def _dtype(name: str, comparisons: Sequence[tuple[str, Comparison]], found: str | None) -> str:
    kinds = {kind_of(value): pointer for pointer, each in comparisons for value in each.values[:1]}
    if not kinds:
        return found or "category"
    if "text" not in kinds:
        return "date" if found == "date" else "number"
    if found == "date" and len(kinds) > 1:
        detail = f"{name} is a date: compare it either with texts or with numbers of days"
        raise InvalidInput(detail, errors=[FieldError(f"{kinds['text']}/value", "mixed_values", detail)])
    return "category"
