"""Learning who leaves, as a pure call that runs in a niced process of its own.

Only that process imports this module, and with it the libraries that fit: neither the web nor the worker needs them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.errors import FieldError, InvalidInput
from app.ml.classification.request import ClassifierRequest
from app.ml.classification.scoring import prepare_classifier
from app.ml.classification.training import Classified, Cohort, learn_classifier
from app.ml.columns import Floats
from app.modelling.churn.definitions import AGE
from app.modelling.churn.drifting import reference_of
from app.modelling.churn.task import Learned, Observed, Task

# A text of which nearly every customer has another value names customers; it says nothing of the next.
IDENTIFIER_SHARE = 0.9
TINY = 1e-12


def learn(task: Task, cohorts: Sequence[Observed]) -> Learned:
    """Learn, judge, and compare with the champion if there is one. Raises InvalidInput and TooFewCustomers."""
    names = [each["name"] for each in task.features]
    left_out = _useless(task, cohorts) if task.chosen_by_us else {}
    kinds = {each["name"]: each["kind"] for each in task.features if each["name"] not in left_out}
    if not kinds and task.algorithm not in ("btyd", "auto"):
        raise InvalidInput(
            "No feature tells these customers apart", errors=[FieldError("/features", "no_features", "nothing known")]
        )
    request = ClassifierRequest(
        task.algorithm,  # type: ignore[arg-type]  # one of the algorithms, checked by the schema
        kinds,
        task.horizon_days,
        task.seed,
        tuple(task.insist_on),
        task.protected,
    )
    classified = learn_classifier([Cohort(each.values, each.outcomes, each.cutoff) for each in cohorts], request)
    scorer = prepare_classifier(classified.document)
    read = set(scorer.features)
    newest = cohorts[-1]
    document = {
        "classifier": classified.document,
        "features": [{"name": each["name"], "dtype": each["dtype"]} for each in task.features if each["name"] in read]
        + [{"name": name, "dtype": "integer"} for name in scorer.features if name not in names],
        "definition": dict(task.definition),
        "reference": reference_of(newest.values, scorer.features, scorer.probabilities(newest.values)),
    }
    evaluation = {
        **classified.evaluation,
        "left_out": [{"feature": each, "why": why} for each, why in left_out.items()],
    }
    compared = None if task.champion is None else _compared(task.champion, classified, newest)
    if compared is not None:
        evaluation["champion"] = compared
    return Learned(
        document,
        classified.algorithm,
        evaluation,
        _fingerprint(cohorts),
        int(newest.outcomes.size),
        None if compared is None else bool(compared["is_better"]),
    )


def _useless(task: Task, cohorts: Sequence[Observed]) -> dict[str, str]:
    """Features that say nothing, or at the first cutoff something else than later, with the reason.

    A window that reaches behind the first purchase of all holds the whole of a short history there, and a part of it
    at the next cutoff.
    """
    found = {}
    known_days = float(np.nanmax(cohorts[0].values[AGE], initial=0.0))
    for each in task.features:
        columns = [cohort.values[each["name"]] for cohort in cohorts]
        why = _why_useless(np.concatenate(columns), is_text=each["kind"] == "category")
        if why is None and len(cohorts) > 1 and (each["window_days"] or 0) > known_days:
            why = "longer_than_history"
        if why is not None and each["name"] not in task.insist_on:
            found[each["name"]] = why
    return found


def _why_useless(column: Any, *, is_text: bool) -> str | None:
    known = column[[value is not None for value in column]] if is_text else column[~np.isnan(column)]
    if not known.size:
        return "all_missing"
    distinct = len(set(known.tolist()))
    if distinct == 1 and known.size == column.size:
        return "all_the_same"
    if is_text and distinct > IDENTIFIER_SHARE * known.size:
        return "identifier"
    return None


def _compared(champion: Mapping[str, Any], classified: Classified, newest: Observed) -> dict[str, Any]:
    """Both on the newest customers whose outcome is known, of whom the challenger that is judged had not learned."""
    try:
        scorer = prepare_classifier(champion["classifier"])
        theirs = scorer.probabilities(newest.values)
    except (InvalidInput, KeyError) as error:
        return {"is_better": False, "reason": "not_comparable", "detail": str(error)}
    if theirs.size != classified.test_outcomes.size or not np.array_equal(newest.outcomes, classified.test_outcomes):
        theirs = scorer.probabilities(classified.test_values)
    before, after = (_losses(each, classified.test_outcomes) for each in (theirs, classified.test_probabilities))
    gain = before - after
    spread = float(gain.std(ddof=1)) if gain.size > 1 else 0.0
    half = 1.96 * spread / np.sqrt(max(gain.size, 1))
    mean = float(gain.mean())
    return {
        "cutoff": newest.cutoff,
        "log_loss": float(before.mean()),
        "challenger_log_loss": float(after.mean()),
        "gain": {
            "value": mean,
            "low": mean - half,
            "high": mean + half,
            "level": 0.95,
            "method": "paired_normal",
            "n": int(gain.size),
        },
        "is_better": mean > 0,
    }


def _losses(probabilities: Floats, outcomes: Any) -> Floats:
    chances = np.clip(probabilities, TINY, 1 - TINY)
    return -np.where(outcomes, np.log(chances), np.log1p(-chances))


def _fingerprint(cohorts: Sequence[Observed]) -> str:
    """A hash of the data that were learned from."""
    digest = hashlib.sha256()
    for cohort in cohorts:
        digest.update(cohort.cutoff.encode() + cohort.outcomes.tobytes())
        for name in sorted(cohort.values):
            column = cohort.values[name]
            content = "\x1f".join(map(str, column)).encode() if column.dtype == object else column.tobytes()
            digest.update(name.encode() + b"\x00" + content)
    return digest.hexdigest()
