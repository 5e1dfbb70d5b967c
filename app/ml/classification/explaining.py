"""Says what a classifier goes by in general: what it loses without a feature, and how its answers move with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.classification.calibrating import losses
from app.ml.classification.contest import Judged
from app.ml.classification.judging import shown
from app.ml.classification.learning import Sample
from app.ml.classification.scoring import Scorer
from app.ml.columns import Floats, Kind, Values, taken
from app.stats.scored import mean_of

LEVEL = 0.95
REPEATS = 4
MOST_PERMUTED = 4_000
MOST_AVERAGED = 500
TOP = 5
MOST_LEVELS = 10


def importances(judged: Sequence[Judged], test: Sample, *, seed: int) -> list[dict[str, Any]]:
    """Say by how much the log loss grows when a feature is shuffled among customers the model has not seen.

    Parameters
    ----------
    judged : sequence of Judged
        Models, each with the customers of the test whom it has not learned from.
    test : Sample
        All of these.
    seed : int
        Of the sample of at most 4,000 of them and of the shuffling, four times each.

    Returns
    -------
    list of dict
        ``feature`` and ``importance``, an estimate over customers by Student's t, the largest first. Features that
        stand for each other share their importance: a small one does not say that a feature tells nothing.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32, section 10.
    Fisher, A., Rudin, C. and Dominici, F. (2019). All models are wrong, but many are useful. JMLR 20(177), equation 3.
    """
    draw = np.random.default_rng(seed)
    asked = np.zeros(test.outcomes.size, dtype=np.bool_)
    asked[draw.permutation(asked.size)[:MOST_PERMUTED]] = True
    lost: dict[str, list[Floats]] = {}
    for each in judged:
        part = test.at(each.positions[asked[each.positions]])
        model = each.scorer.model
        columns = model.read(part.values, 0, part.outcomes.size)
        before = losses(each.scorer.believed(columns), part.outcomes)
        for place, name in enumerate(model.names):
            after = np.zeros(before.size)
            own = np.flatnonzero(model.owners == place)
            for _ in range(REPEATS):
                mixed = columns.copy()
                mixed[own] = columns[own][:, draw.permutation(before.size)]
                after += losses(each.scorer.believed(mixed), part.outcomes)
            lost.setdefault(name, []).append(after / REPEATS - before)
    found = [
        {"feature": name, "importance": shown(mean_of(np.concatenate(each), level=LEVEL))}
        for name, each in lost.items()
    ]
    return sorted(found, key=lambda each: -(each["importance"]["value"] or 0.0))


def partial_dependence(
    scorer: Scorer, test: Sample, names: Sequence[str], kinds: Mapping[str, Kind], *, seed: int
) -> list[dict[str, Any]]:
    """Say what probability customers would get on average if all had one value of a feature.

    Parameters
    ----------
    scorer : Scorer
    test : Sample
        Of whom at most 500 are averaged over.
    names : sequence of str
        The features to move; the first five that are read are.
    kinds : mapping of str to Kind
        Of the features; what is not in it is a number.
    seed : int
        Of the sample.

    Returns
    -------
    list of dict
        ``feature`` and ``points``: each a ``value`` (deciles of a number, the ten commonest levels of a category,
        null where some are unknown) with the ``mean_probability`` and how many ``customers`` were averaged over.

    References
    ----------
    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29(5),
    1189-1232, section 8.2.
    """
    n = test.outcomes.size
    some = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_AVERAGED])
    values = taken(test.values, scorer.features, some)
    found = []
    for name in [each for each in names if each in scorer.features][:TOP]:
        grid = _grid(test.values[name], is_category=kinds.get(name) == "category")
        points = [_point(scorer, values, name, value) for value in grid]
        found.append({"feature": name, "points": points})
    return found


def _grid(column: npt.NDArray[Any], *, is_category: bool) -> list[Any]:
    if is_category:
        levels, counts = np.unique([each for each in column.tolist() if each is not None], return_counts=True)
        ranked = sorted(zip(levels.tolist(), counts.tolist(), strict=True), key=lambda each: (-each[1], each[0]))
        known: list[Any] = [level for level, _ in ranked[:MOST_LEVELS]]
        some_unknown = any(each is None for each in column.tolist())
    else:
        finite = np.isfinite(column)
        deciles = np.quantile(column[finite], np.linspace(0.1, 0.9, 9), method="inverted_cdf") if finite.any() else []
        known, some_unknown = np.unique(deciles).tolist(), not finite.all()
    return known + [None] * some_unknown


def _point(scorer: Scorer, values: Values, name: str, value: Any) -> dict[str, Any]:
    n = values[name].size
    column: npt.NDArray[Any]
    if values[name].dtype == object:
        column = np.full(n, value, dtype=object)
    else:
        column = np.full(n, np.nan if value is None else value)
    told = scorer.probabilities({**values, name: column})
    return {"value": value, "mean_probability": float(told.mean()), "customers": n}
