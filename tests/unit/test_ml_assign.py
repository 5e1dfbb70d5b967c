"""Assignment: the same alone as among many, without scikit-learn, and right about what it explains."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.tree import DecisionTreeClassifier

from app.errors import InvalidInput, ModelFormatUnknown
from app.ml.artifact import seal, unseal
from app.ml.assign import assign, prepare
from app.ml.fit import fit
from app.ml.match import match_segments
from app.ml.request import FitRequest
from app.ml.surrogate import describe_tree, surrogate
from app.ml.transform import BLOCK, Transform
from app.ml.why import drivers, explain_one

KINDS = {"spend": "money", "orders": "count", "share": "share", "city": "category"}
METHODS = ("kmeans", "gaussian_mixture", "hierarchical", "dbscan", "decision_tree")


def shop(n=900, seed=0):
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, n)
    spend = random.lognormal(np.array([3, 6, 9])[kind], 0.8)
    orders = random.poisson(np.array([1, 12, 90])[kind]) + 1.0
    orders[::17] = np.nan
    city = np.array(["Paris", "Lyon", None], dtype=object)[random.integers(0, 3, n)]
    return {"spend": spend, "orders": orders, "share": random.random(n), "city": city}


def fitted(method, values):
    k = None if method in ("dbscan", "decision_tree") else 4
    labels = (values["spend"] > 1_000).astype(np.int64) if method == "decision_tree" else None
    params = {} if method == "decision_tree" else {"bootstraps": 0}
    return fit(values, FitRequest(method, KINDS, k=k, labels=labels, params=params))


@pytest.fixture(scope="module")
def models():
    return {method: fitted(method, shop()) for method in METHODS}


def at(values, position):
    return {name: column[position : position + 1] for name, column in values.items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_customer_alone_is_assigned_as_among_many(models, method):
    values = shop(BLOCK + 500, seed=1)
    prepared = prepare(models[method].model)
    among = assign(values, prepared, detail=True)
    for position in range(BLOCK - 100, BLOCK + 100):
        alone = assign(at(values, position), prepared, detail=True)
        assert alone.labels[0] == among.labels[position]
        if among.runner_up is not None:
            assert alone.runner_up[0] == among.runner_up[position]
            assert alone.margin == pytest.approx(among.margin[position : position + 1], abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_the_same_with_and_without_detail(models, method):
    values = shop(seed=2)
    detailed = assign(values, models[method].model, detail=True)
    assert detailed.labels.tolist() == assign(values, models[method].model).labels.tolist()
    if detailed.runner_up is not None:
        assert (detailed.runner_up != detailed.labels).all()
        assert (detailed.margin >= 0).all()
    if detailed.confidence is not None:
        assert ((detailed.confidence > 0) & (detailed.confidence <= 1)).all()


@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_centres_win_by_plain_distance(models, method):
    values = shop(seed=3)
    model = models[method].model
    points = Transform.of(model["preparation"]).points(values)
    distances = cdist(points, model["parts"]["centres"])
    order = distances.argsort(axis=1)
    found = assign(values, model, detail=True)
    assert found.labels.tolist() == order[:, 0].tolist()
    assert found.runner_up.tolist() == order[:, 1].tolist()
    # The way to the bisecting plane, by construction: move that far towards the other centre and both are as near.
    own, other = model["parts"]["centres"][order[:, 0]], model["parts"]["centres"][order[:, 1]]
    direction = (other - own) / np.linalg.norm(other - own, axis=1, keepdims=True)
    moved = points + direction * found.margin[:, np.newaxis]
    assert np.linalg.norm(moved - own, axis=1) == pytest.approx(np.linalg.norm(moved - other, axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_was_stored_assigns_and_explains_as_before(models, method):
    values, fitted_model = shop(200, seed=9), models[method]
    stored = unseal(*seal(fitted_model.model, secret=b"secret", about={}), secret=b"secret", about={})
    before, after = (assign(values, model, detail=True) for model in (fitted_model.model, stored))
    assert before.labels.tolist() == after.labels.tolist()
    assert drivers(values, stored).outcomes == drivers(values, fitted_model.model).outcomes
    assert json.loads(json.dumps([fitted_model.params, fitted_model.k_table])) == [
        fitted_model.params,
        fitted_model.k_table,
    ]


def test_an_exact_tie_goes_to_the_first_segment_alone_and_among_many():
    plain = {"numbers": ["x", "y"], "logged": 0, "fill": np.zeros(2), "low": np.full(2, -99.0)}
    plain |= {"high": np.full(2, 99.0), "indicators": [], "categories": [], "centre": np.zeros(2), "scale": np.ones(2)}
    centres = np.array([[0.1, 0.3], [0.3, 0.1]])
    model = {"algorithm": "kmeans", "k": 2, "preparation": plain, "parts": {"centres": centres}}
    line = np.random.default_rng(0).normal(size=1_000)
    values = {"x": line, "y": line}
    assert assign(values, model).labels.sum() == 0
    assert all(assign(at(values, position), model).labels[0] == 0 for position in range(0, 1_000, 10))


def test_a_tree_assigns_as_scikit_learn_predicts():
    random = np.random.default_rng(4)
    points = random.normal(size=(3_000, 3))
    labels = ((points[:, 0] > 0.3).astype(np.int64) + (points[:, 1] * points[:, 2] > 0)).astype(np.int64)
    values = dict(zip("abc", points.T, strict=True))
    request = FitRequest("decision_tree", dict.fromkeys("abc", "number"), labels=labels, seed=5)
    theirs = DecisionTreeClassifier(max_depth=5, min_samples_leaf=30, random_state=5).fit(points, labels)
    fitted_tree = fit(values, request)
    assert fitted_tree.labels.tolist() == theirs.predict(points).tolist()
    found = assign(values, fitted_tree.model, detail=True)
    assert found.confidence == pytest.approx(theirs.predict_proba(points).max(axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_everything_unknown_is_unassigned_and_infinity_is_unknown(models, method):
    values = {name: np.full(3, np.nan) for name in ("spend", "orders", "share")}
    values["spend"][1], values["share"][2] = np.inf, 0.5
    values["city"] = np.array([None] * 3, dtype=object)
    labels = assign(values, models[method].model).labels
    assert labels[:2].tolist() == [-1, -1]
    if method != "dbscan":
        assert labels[2] >= 0


def test_nobody_is_assigned_nowhere(models):
    nobody = {name: column[:0] for name, column in shop(1).items()}
    assert assign(nobody, models["kmeans"].model, detail=True).labels.size == 0


def test_missing_and_uneven_features_are_refused(models):
    values = shop(10)
    with pytest.raises(InvalidInput, match="orders"):
        assign({name: column for name, column in values.items() if name != "orders"}, models["kmeans"].model)
    with pytest.raises(InvalidInput, match="one length"):
        assign({**values, "orders": np.ones(9)}, models["kmeans"].model)


def test_a_model_of_an_unknown_algorithm_is_refused(models):
    with pytest.raises(ModelFormatUnknown, match="spectral"):
        prepare({**models["kmeans"].model, "algorithm": "spectral"})


@pytest.mark.parametrize("module", ["app.ml.assign", "app.ml.why", "app.ml.artifact", "app.ml.match"])
def test_serving_does_not_import_scikit_learn(module):
    code = (
        f"import sys, {module}; print([name for name in ('sklearn', 'pandas', 'scipy.stats') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize("method", METHODS)
def test_everybody_has_a_reason_with_features_of_the_model(models, method):
    values = shop(seed=5)
    found = drivers(values, models[method].model)
    labels = assign(values, models[method].model).labels
    assert [found.outcomes[code].segment for code in found.codes] == labels.tolist()
    assert len(set(found.outcomes)) == len(found.outcomes)
    for outcome in found.outcomes:
        assert {driver.feature for driver in outcome.drivers} <= set(KINDS)
        assert outcome.drivers or outcome.segment == -1


def test_the_reason_says_low_high_which_level_and_what_is_unknown(models):
    values = {"spend": np.array([90_000.0, 2.0]), "orders": np.array([120.0, np.nan]), "share": np.array([0.5, 0.5])}
    values["city"] = np.array(["Paris", "Lyon"], dtype=object)
    best, worst = (explain_one(at(values, position), models["kmeans"].model) for position in range(2))
    directions = [{each.driver.feature: each.driver for each in found.contributions} for found in (best, worst)]
    assert directions[0]["spend"].direction == "high"
    assert directions[1]["spend"].direction == "low"
    assert directions[1]["orders"].direction == "unknown"
    assert directions[0]["city"].level == "Paris"


@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_contributions_add_up_to_the_difference_of_the_squared_distances(models, method):
    values, model = shop(50, seed=6), models[method].model
    points = Transform.of(model["preparation"]).points(values)
    squares = cdist(points, model["parts"]["centres"]) ** 2
    for position in range(50):
        found = explain_one(at(values, position), model)
        gap = squares[position, found.runner_up] - squares[position, found.segment]
        assert sum(each.value for each in found.contributions) == pytest.approx(gap)
        strengths = [abs(each.value) for each in found.contributions]
        assert strengths == sorted(strengths, reverse=True)


def test_contributions_of_a_mixture_are_those_of_its_mahalanobis_distances(models):
    values, model = shop(20, seed=7), models["gaussian_mixture"].model
    points = Transform.of(model["preparation"]).points(values)
    for position in range(20):
        found = explain_one(at(values, position), model)
        halves = [
            0.5 * ((model["parts"]["whiten"][label] @ (points[position] - model["parts"]["means"][label])) ** 2).sum()
            for label in (found.runner_up, found.segment)
        ]
        assert sum(each.value for each in found.contributions) == pytest.approx(halves[0] - halves[1])
        volumes = model["parts"]["offset"][[found.segment, found.runner_up]]
        assert found.margin == pytest.approx(halves[0] - halves[1] + volumes[0] - volumes[1])


def test_rules_hold_for_whom_they_count():
    values = shop(600, seed=8)
    labels = fitted("kmeans", values).labels
    found = surrogate(values, KINDS, labels)
    assert sum(rule.customers for rule in found.rules) == 600
    hits = 0
    for rule in found.rules:
        holds = np.ones(600, dtype=bool)
        for each in rule.conditions:
            column = values[each.feature]
            if each.unknown is not None or each.levels or each.excluded:
                continue
            known = np.where(np.isnan(column), np.nanmedian(column), column)
            holds &= known <= (np.inf if each.at_most is None else each.at_most)
            holds &= known > (-np.inf if each.above is None else each.above)
        plain = not any(each.unknown is not None or each.levels or each.excluded for each in rule.conditions)
        if plain:
            assert holds.sum() == rule.customers
            assert (labels[holds] == rule.segment).mean() == pytest.approx(rule.purity)
        hits += round(rule.purity * rule.customers)
    assert found.fidelity == pytest.approx(hits / 600)
    assert found.fidelity > 0.9


def test_the_unassigned_are_explained_too():
    spend = {"spend": np.arange(100.0)}
    found = surrogate(spend, {"spend": "money"}, np.where(spend["spend"] < 30, -1, 0))
    assert [(rule.segment, rule.text) for rule in found.rules] == [(-1, "spend at most 29"), (0, "spend over 29")]


def test_a_fitted_tree_reads_as_its_rules(models):
    values = shop()
    truth = (values["spend"] > 1_000).astype(np.int64)
    found = describe_tree(models["decision_tree"].model, values, truth)
    # Rules are ordered by segment: those for "spend over about 1,000" come last.
    assert found.fidelity == 1.0
    assert [rule.purity for rule in found.rules] == [1.0, 1.0]
    assert found.rules[1].text.startswith("spend over ")


def test_a_refit_that_only_renumbers_keeps_every_segment():
    old = np.repeat([0, 1, 2], 10)
    assert match_segments(old, (old + 1) % 3).old_of_new == (2, 0, 1)


def test_a_split_segment_stays_with_its_larger_part():
    old = np.repeat([0, 1], [60, 40])
    new = np.concatenate([np.zeros(45), np.full(15, 2), np.ones(40)]).astype(np.int64)
    found = match_segments(old, new)
    assert found.old_of_new == (0, 1, None)
    assert found.overlap[0] == pytest.approx(45 / 60)
    assert found.migration.tolist() == [[45, 0, 15], [0, 40, 0]]


def test_what_shares_too_little_is_new():
    # A quarter shared: Jaccard 5 / 35, below the third.
    old = np.array([0] * 20 + [1] * 20)
    new = np.array([0] * 5 + [1] * 35)
    assert match_segments(old, new).old_of_new == (None, 1)
    assert match_segments([], []).old_of_new == ()
