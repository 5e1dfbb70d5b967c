"""Learning from everybody, and describing what was learned, as pure calls that run in a niced process of their own.

Only that process imports this module, and with it the libraries that fit: neither the web nor the worker needs them.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from app.ml.match import match_segments
from app.modelling.features.columns import Values
from app.modelling.features.definitions import Feature, feature_of
from app.modelling.rules.conditions import to_json
from app.modelling.rules.grammar import parse
from app.modelling.rules.wording import describe as worded
from app.modelling.segments.assigning import Integers
from app.modelling.segments.definitions import SegmentDefinition
from app.modelling.segments.fitting import FITS, FIXED, Fit, account_of, unmeasured
from app.modelling.segments.judgement.advice import warnings_of
from app.modelling.segments.judgement.columns import JUDGED
from app.modelling.segments.judgement.masda import scorecard
from app.modelling.segments.judgement.portraits import portray
from app.modelling.segments.methods import method_named
from app.modelling.segments.task import Learned, People, Previous, Task

REVENUE = "total_spend"


def learn(task: Task, people: People) -> Learned:
    """Fit, recognise the segments of the version before, name, judge. Raises InvalidInput and TooFewCustomers."""
    found = _rules(task, people.values) if task.method == "rules" else FITS[task.method](task, people.values)
    found, matching = _continued(task, found, people.values)
    portraits, profile = _described(task, found.segments, found.labels, people)
    segments = [
        each if each.name else SegmentDefinition(each.key, portrait.name, portrait.description)
        for each, portrait in zip(found.segments, portraits, strict=True)
    ]
    for each in segments:
        profile[each.key]["meaning"] = each.meaning
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=len(segments))
    evaluation = {
        **found.measures,
        "sizes_ok": bool(sizes.size and sizes.min() >= task.min_segment_share * sizes.sum()),
        "warnings": [*found.warnings, *_advice(task, segments, found.labels, people.values)],
        "explained_by": _account(task, found, segments, people.values),
    }
    document = {
        "method": task.method,
        "features": [{"name": each["name"], "dtype": each["dtype"]} for each in _read(task)],
        "segments": [{"key": each.key, "name": each.name} for each in segments],
        "population": task.population,
        "fitted": found.fitted,
    }
    customers = int((found.labels >= 0).sum())
    return Learned(document, found.params, evaluation, profile, matching, fingerprint(people.values), customers)


def describe(task: Task, document: Mapping[str, Any], names: Mapping[str, str], people: People) -> dict[str, Any]:
    """What the segments of a fitted version are like for these customers, by key."""
    assigner = method_named(task.method).assigner(document, UUID(task.segmentation_id))
    labels = assigner.assign(people.values).labels(assigner.keys, len(next(iter(people.values.values()))))
    segments = [SegmentDefinition(key, names[key], "") for key in assigner.keys]
    return _described(task, segments, labels, people)[1]


def compare(documents: Sequence[tuple[str, Mapping[str, Any]]], people: People, segmentation_id: str) -> dict[str, Any]:
    """How many of these customers two versions put into which segments; null stands for none."""
    keyed = []
    for method, document in documents:
        assigner = method_named(method).assigner(document, UUID(segmentation_id))
        labels = assigner.assign(people.values).labels(assigner.keys, len(next(iter(people.values.values()))))
        keyed.append(([*assigner.keys, None], np.where(labels < 0, len(assigner.keys), labels)))
    (before, one), (after, other) = keyed
    pairs, counts = np.unique(np.stack([one, other]), axis=1, return_counts=True)
    moves = [
        {"from": before[int(first)], "to": after[int(second)], "customers": int(count)}
        for (first, second), count in zip(pairs.T, counts, strict=True)
    ]
    same = [before[int(first)] == after[int(second)] for first, second in pairs.T]
    stayed = int(counts[same].sum())
    total = int(counts.sum())
    return {"customers": total, "stayed": stayed, "stayed_share": stayed / total if total else None, "moves": moves}


def _rules(task: Task, values: Values) -> Fit:
    """Nothing is learned: what was written is what is kept, in its canonical form."""
    ruleset = parse(list(task.rules))
    fitted = {"rules": to_json(ruleset)}
    document = {"features": [dict(each) for each in task.features], "fitted": fitted}
    assigner = method_named("rules").assigner(document, UUID(task.segmentation_id))
    labels = assigner.assign(values).labels(assigner.keys, len(next(iter(values.values()))))
    segments = [SegmentDefinition(each.key, each.name, each.description or worded(each.when)) for each in ruleset.rules]
    return Fit(fitted, segments, labels, {}, unmeasured(FIXED))


def _read(task: Task) -> list[Mapping[str, str]]:
    """What assigning reads: the label that a tree learned from is not among it."""
    return [each for each in task.features if each["name"] != task.label]


def _features(task: Task) -> list[Feature]:
    return [feature_of(each["name"], each["dtype"]) for each in _read(task)]


def _continued(task: Task, found: Fit, values: Values) -> tuple[Fit, dict[str, Any]]:
    """Segments that are those of the version before keep key and name; others get a key that was never given."""
    previous = task.previous
    free = (f"segment_{number}" for number in range(1, 10_000))
    taken = set(previous.keys) if previous else set()
    unused = (key for key in free if key not in taken)
    if previous is None or previous.document is None or previous.retyped:
        said = {"version": previous.version, "retyped": list(previous.retyped)} if previous else {}
        return replace(found, segments=[_with_key(each, unused) for each in found.segments]), said
    return _matched(task, previous, previous.document, found=found, values=values, unused=unused)


def _with_key(segment: SegmentDefinition, unused: Iterator[str]) -> SegmentDefinition:
    return segment if segment.key else SegmentDefinition(next(unused), segment.name, segment.meaning)


def _matched(
    task: Task,
    previous: Previous,
    document: Mapping[str, Any],
    *,
    found: Fit,
    values: Values,
    unused: Iterator[str],
) -> tuple[Fit, dict[str, Any]]:
    old = method_named(task.method).assigner(document, UUID(task.segmentation_id))
    before = old.assign(values).labels(old.keys, found.labels.size)
    match = match_segments(before, found.labels)
    segments: list[SegmentDefinition] = []
    said = []
    for label, segment in enumerate(found.segments):
        place = match.old_of_new[label] if label < len(match.old_of_new) else None
        if not segment.key and place is not None and old.keys[place] != "unassigned":
            key = old.keys[place]
            segment = SegmentDefinition(key, previous.names[key], segment.meaning)
        segments.append(_with_key(segment, unused))
        overlap = match.overlap[label] if label < len(match.overlap) else 0.0
        said.append(
            {
                "key": segments[-1].key,
                "continues": segments[-1].key if segments[-1].key in old.keys else None,
                "overlap": overlap,
            }
        )
    matching = {
        "version": previous.version,
        "from": list(old.keys),
        "to": [each.key for each in segments],
        "customers": match.migration.tolist(),
        "segments": said,
    }
    return replace(found, segments=segments), matching


def _described(
    task: Task, segments: Sequence[SegmentDefinition], labels: Integers, people: People
) -> tuple[list[Any], dict[str, dict[str, Any]]]:
    """A portrait of each segment, and by key its size, share of revenue, persona and scorecard."""
    named = {label: each.name for label, each in enumerate(segments) if each.name}
    read = _features(task)
    shown = list(dict.fromkeys([*read, *JUDGED]))
    k = len(segments)
    portraits = portray(people.values, labels, names_taken=named, features=shown, currency=task.currency, k=k)
    cards = scorecard(
        people.values, labels, read=read or JUDGED, spend_after=people.spend_after, days_after=people.days_after, k=k
    )
    revenue = np.nan_to_num(people.values[REVENUE])
    total = float(revenue[labels >= 0].sum())
    return portraits, {
        segment.key: {
            "size": int((labels == label).sum()),
            "revenue_share": float(revenue[labels == label].sum()) / total if total > 0 else None,
            "persona": portraits[label].shown(),
            "masda": cards[label],
            "meaning": segment.meaning,
        }
        for label, segment in enumerate(segments)
    }


def _advice(
    task: Task, segments: Sequence[SegmentDefinition], labels: Integers, values: Values
) -> list[dict[str, Any]]:
    """What to mind about the segmentation; segments are named by key."""
    features = list(dict.fromkeys([*_features(task), *JUDGED]))
    found = warnings_of(values, labels, features=features, least_share=task.min_segment_share, k=len(segments))
    return [{**each, "segments": [segments[label].key for label in each["segments"]]} for each in found]


def _account(task: Task, found: Fit, segments: Sequence[SegmentDefinition], values: Values) -> dict[str, Any] | None:
    if task.method in ("rules", "rfm") or len(set(found.labels[found.labels >= 0].tolist())) < 2:
        return None
    account = account_of(task, values, found.labels)
    rules = [{**rule, "segment": segments[rule["segment"]].key} for rule in account["rules"] if rule["segment"] >= 0]
    return {"fidelity": account["fidelity"], "rules": rules}


def fingerprint(values: Values) -> str:
    """A hash of the data that were learned from."""
    digest = hashlib.sha256()
    for name in sorted(values):
        column = values[name]
        content = "\x1f".join(map(str, column)).encode() if column.dtype == object else column.tobytes()
        digest.update(name.encode() + b"\x00" + content)
    return digest.hexdigest()
