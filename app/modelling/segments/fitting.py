"""Each method's way from the features of customers to a document that assigns them; runs where training may."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from app.errors import FieldError, InvalidInput
from app.ml.fit import fit
from app.ml.request import MOST_SEGMENTS, FitRequest
from app.ml.surrogate import describe_tree, surrogate
from app.modelling.features.columns import Values
from app.modelling.segments import rfm
from app.modelling.segments.assigning import Integers
from app.modelling.segments.clusters import UNASSIGNED_KEY, UNASSIGNED_NAME, eligible
from app.modelling.segments.definitions import RFM_SEGMENTS, SegmentDefinition
from app.modelling.segments.task import Task

# A readable account of a grouping is grown from so many customers at most.
EXPLAINED = 100_000
# RFM and its kin need no segmentation to be assigned by.
_NOBODY = UUID(int=0)
UNMEASURED = ("silhouette", "davies_bouldin", "calinski_harabasz", "stability")
FIXED, GIVEN = "not_applicable", "labels_were_given"


@dataclass(frozen=True, slots=True)
class Fit:
    """What a method made of the population; labels of everybody, -1 in no segment.

    segments: in order of the labels; without a name where what distinguishes them is to name them.
    """

    fitted: Mapping[str, Any]
    segments: Sequence[SegmentDefinition]
    labels: Integers
    params: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[Mapping[str, Any]] = ()


def fit_rfm(_task: Task, values: Values) -> Fit:
    fitted = rfm.fit(values)
    assigned = rfm.assigner({"fitted": fitted}, _NOBODY).assign(values)
    labels = assigned.labels([each.key for each in RFM_SEGMENTS], len(values[rfm.FREQUENCY]))
    return Fit(fitted, RFM_SEGMENTS, labels, fitted, unmeasured(FIXED))


def fit_clusters(task: Task, values: Values) -> Fit:
    """An algorithm of the pure floor on the population. Raises InvalidInput and TooFewCustomers."""
    positions = eligible(values, task.population)
    theirs = {name: values[name][positions] for name in task.kinds}
    found = fit(theirs, _request(task))
    labels = np.full(len(next(iter(values.values()))), -1, dtype=np.int64)
    labels[positions] = found.labels
    segments = [SegmentDefinition("", "", "") for _ in range(found.k)]
    if task.method == "dbscan":
        segments.append(SegmentDefinition(UNASSIGNED_KEY, UNASSIGNED_NAME, "in no dense region"))
        labels[positions[found.labels < 0]] = found.k
    return Fit(found.model, segments, labels, found.params, _measures(found.k_table), found.warnings)


def _request(task: Task, labels: Integers | None = None) -> FitRequest:
    return FitRequest(
        task.method,  # type: ignore[arg-type]  # the pure floor refuses what it does not know
        task.kinds,
        task.k,
        task.k_range or (2, 10),
        {name: value for name, value in task.params.items() if name != "label"},
        task.min_segment_share,
        task.seed,
        labels,
    )


def fit_tree(task: Task, values: Values) -> Fit:
    """A tree that tells the labels customers were given. Raises InvalidInput and TooFewCustomers."""
    assert task.label is not None, "a tree is asked for with a label"
    positions = eligible(values, task.population)
    given = [_worded(level) for level in values[task.label][positions]]
    levels = sorted({level for level in given if level is not None})
    if not 2 <= len(levels) <= MOST_SEGMENTS:
        detail = f"{task.label} has {len(levels)} values; a tree tells 2 to {MOST_SEGMENTS} apart"
        raise InvalidInput(detail, errors=[FieldError("/params/label", "number_of_labels", detail)])
    places = {level: place for place, level in enumerate(levels)}
    told = np.array([-1 if level is None else places[level] for level in given], dtype=np.int64)
    theirs = {name: values[name][positions] for name in task.kinds}
    found = fit(theirs, _request(task, told))
    labels = np.full(len(next(iter(values.values()))), -1, dtype=np.int64)
    labels[positions] = found.labels
    segments = [SegmentDefinition(key, level, f"{task.label} is {level}") for key, level in _keyed(levels)]
    account = describe_tree(found.model, theirs, told)
    measures = {**unmeasured(GIVEN), "accuracy": account.fidelity}
    return Fit(found.model, segments, labels, {**found.params, "label": task.label}, measures, found.warnings)


def _worded(level: Any) -> str | None:
    """A label as text; None: unknown."""
    if level is None or isinstance(level, str):
        return level
    return None if np.isnan(level) else f"{level:.12g}"


def _keyed(levels: Sequence[str]) -> list[tuple[str, str]]:
    """A key for each level: its letters and digits, told apart by a number where that is not enough."""
    keys: dict[str, str] = {}
    for level in levels:
        plain = re.sub(r"[^a-z0-9]+", "_", level.lower()).strip("_")[:60] or "segment"
        key, number = plain, 2
        while key in keys:
            key, number = f"{plain}_{number}", number + 1
        keys[key] = level
    return list(keys.items())


def _measures(table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    chosen = next((row for row in table if row.get("chosen")), {})
    found = {name: chosen.get(name) for name in UNMEASURED}
    reasons = {name: "undefined" for name, value in found.items() if value is None}
    return {**found, "k_table": list(table), "reasons": reasons}


def unmeasured(reason: str) -> dict[str, Any]:
    names = (*UNMEASURED, "k_table")
    return {**dict.fromkeys(UNMEASURED), "k_table": [], "reasons": dict.fromkeys(names, reason)}


def account_of(task: Task, values: Values, labels: Integers) -> dict[str, Any]:
    """Readable rules that imitate the segmentation, and how faithfully they do."""
    positions = np.flatnonzero(labels >= 0)
    if positions.size > EXPLAINED:
        positions = np.sort(np.random.default_rng(task.seed).choice(positions, EXPLAINED, replace=False))
    theirs = {name: values[name][positions] for name in task.kinds}
    found = surrogate(theirs, task.kinds, labels[positions], seed=task.seed)
    rules = [
        {"segment": rule.segment, "rule": rule.text, "customers": rule.customers, "purity": rule.purity}
        for rule in found.rules
    ]
    return {"fidelity": found.fidelity, "rules": rules}


FITS: Mapping[str, Callable[[Task, Values], Fit]] = {
    "rfm": fit_rfm,
    "decision_tree": fit_tree,
    **dict.fromkeys(("kmeans", "gaussian_mixture", "hierarchical", "dbscan"), fit_clusters),
}
