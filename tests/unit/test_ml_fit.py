"""Fitting: the choices that are made, the same bytes from the same seed, and what hostile columns come to."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.mixture import GaussianMixture

from app.errors import InvalidInput, TooFewCustomers
from app.ml.artifact import seal
from app.ml.assign import assign
from app.ml.fit import fit
from app.ml.preparation import learn
from app.ml.request import FitRequest
from app.ml.threads import repeatable
from app.ml.transform import Transform
from app.stats.agreement import adjusted_rand_index

KINDS = {"spend": "money", "orders": "count", "city": "category"}
FITTED_BY_K = ("kmeans", "gaussian_mixture", "hierarchical")
PLAIN = {"scale": "none", "log": False, "winsorise": False, "bootstraps": 0}


def shop(seed=0, each=60):
    """Three kinds of customers, far apart in spend and orders; the best live in another city."""
    random = np.random.default_rng(seed)
    spend = np.concatenate([random.lognormal(mean, 0.2, each) for mean in (3, 6, 9)])
    orders = np.concatenate([random.poisson(mean, each) + 1.0 for mean in (1, 40, 300)])
    city = np.array(["Lyon"] * 2 * each + ["Paris"] * each, dtype=object)
    return {"spend": spend, "orders": orders, "city": city}


def numbers(*columns):
    return {f"f{at}": np.asarray(column, dtype=np.float64) for at, column in enumerate(columns)}


def kinds_of(values, kind="number"):
    return dict.fromkeys(values, kind)


@pytest.mark.parametrize("method", FITTED_BY_K)
def test_auto_finds_three_kinds_of_customers_and_puts_the_best_first(method):
    fitted = fit(shop(), FitRequest(method, KINDS, params={"bootstraps": 3}))
    assert fitted.k == 3
    assert fitted.labels.tolist() == [2] * 60 + [1] * 60 + [0] * 60
    assert [row["k"] for row in fitted.k_table] == list(range(2, 11))
    assert [row["k"] for row in fitted.k_table if row["chosen"]] == [3]


def test_labels_stay_when_only_the_seed_changes():
    labels = [fit(shop(), FitRequest("kmeans", KINDS, k=3, seed=seed)).labels.tolist() for seed in range(4)]
    assert all(each == labels[0] for each in labels)


@pytest.mark.parametrize("method", [*FITTED_BY_K, "dbscan"])
def test_the_same_seed_gives_the_same_bytes(method):
    request = FitRequest(method, KINDS, params={"bootstraps": 2}, k_range=(2, 4), seed=11)
    first, second = (fit(shop(1), request) for _ in range(2))
    seals = {seal(each.model, secret=b"secret", about={}) for each in (first, second)}
    assert len(seals) == 1
    assert first.k_table == second.k_table


@pytest.mark.parametrize("method", [*FITTED_BY_K, "dbscan"])
def test_the_labels_of_a_fit_are_what_assignment_says(method):
    values = shop(2)
    fitted = fit(values, FitRequest(method, KINDS, k=None if method == "dbscan" else 4, params={"pca": 2}))
    assert assign(values, fitted.model).labels.tolist() == fitted.labels.tolist()
    assert set(fitted.labels.tolist()) - {-1} == set(range(fitted.k))


def test_kmeans_is_as_good_as_scikit_learns_on_the_same_points():
    points = np.random.default_rng(5).normal(size=(1_000, 4))
    values = numbers(*points.T)
    fitted = fit(values, FitRequest("kmeans", kinds_of(values), k=6, params=PLAIN))
    with repeatable():
        theirs = KMeans(6, n_init=10, random_state=1).fit(points)
    # Without structure there are many valleys; ten starts each find one of the same depth to a percent.
    assert fitted.k_table[0]["cost"] == pytest.approx(theirs.inertia_, rel=0.01)


def test_kmeans_on_more_than_the_sample_is_as_good_as_on_all():
    random = np.random.default_rng(6)
    points = random.normal(size=(5, 3))[random.integers(0, 5, 25_000)] * 6 + random.normal(size=(25_000, 3))
    values = numbers(*points.T)
    fitted = fit(values, FitRequest("kmeans", kinds_of(values), k=5, params=PLAIN))
    with repeatable():
        theirs = KMeans(5, n_init=5, random_state=1).fit(points)
    ours = ((points - fitted.model["parts"]["centres"][fitted.labels]) ** 2).sum()
    assert ours <= theirs.inertia_ * 1.001


def test_a_mixture_gives_the_probabilities_of_scikit_learn():
    points = np.concatenate([np.random.default_rng(7).normal(mean, 1, (200, 2)) for mean in (0, 2, 5)])
    values = numbers(*points.T)
    request = FitRequest("gaussian_mixture", kinds_of(values), k=3, params={**PLAIN, "starts": 1}, seed=3)
    fitted = fit(values, request)
    with repeatable():
        theirs = GaussianMixture(3, reg_covar=1e-3, max_iter=300, random_state=3).fit(points)
    found = assign(values, fitted.model, detail=True)
    assert found.confidence == pytest.approx(theirs.predict_proba(points).max(axis=1), abs=1e-9)
    assert adjusted_rand_index(found.labels, theirs.predict(points)) == 1.0


def test_dense_regions_are_those_of_hdbscan_and_the_rest_is_unassigned():
    random = np.random.default_rng(8)
    points = np.concatenate(
        [random.normal(0, 0.3, (80, 2)), random.normal(5, 0.3, (60, 2)), random.uniform(-9, 9, (20, 2))]
    )
    values = numbers(*points.T)
    fitted = fit(values, FitRequest("dbscan", kinds_of(values), params={**PLAIN, "min_cluster_size": 15}))
    theirs = HDBSCAN(min_cluster_size=15, min_samples=15, copy=True).fit_predict(points)
    assert ((fitted.labels == -1) == (theirs == -1)).all()
    assert adjusted_rand_index(fitted.labels, theirs.astype(np.int64)) == 1.0
    assert assign(numbers([100.0], [100.0]), fitted.model).labels.tolist() == [-1]
    assert assign(numbers([0.05], [0.0]), fitted.model).labels.tolist() == [0]


def test_principal_components_that_hold_everything_change_nothing():
    points = np.random.default_rng(9).normal(size=(300, 3)) * (1, 2, 3)
    values = numbers(*points.T)
    plain, turned = (
        fit(values, FitRequest("kmeans", kinds_of(values), k=4, params={"pca": pca, "bootstraps": 0}))
        for pca in (None, 3)
    )
    assert turned.k_table[0]["cost"] == pytest.approx(plain.k_table[0]["cost"], rel=0.01)
    assert turned.model["components"]["axes"].shape == (3, 3)


def test_a_tree_learns_labels_and_leaves_out_the_unknown():
    values = shop(3)
    truth = np.repeat([0, 1, 2], 60)
    given = np.where(np.arange(180) % 5 == 0, -1, truth)
    fitted = fit(values, FitRequest("decision_tree", KINDS, labels=given, params={"max_depth": 3}))
    assert fitted.labels.tolist() == truth.tolist()
    # Thresholds are numbers a person would choose: at most three digits here.
    internal = fitted.model["parts"]["column"] >= 0
    assert all(len(f"{each:g}".replace(".", "")) <= 3 for each in fitted.model["parts"]["threshold"][internal])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (numbers([5.0]), "at least two customers"),
        (numbers([]), "at least two customers"),
        (numbers([3.0] * 50), "same for nearly everybody"),
        (numbers([0.0] * 50), "same for nearly everybody"),
        (numbers([np.nan] * 50), "something is known of 0"),
        (numbers([np.inf, -np.inf] * 9), "something is known of 0"),
        (numbers([1.0, 2.0] * 50), "looked at there are 2"),
    ],
    ids=["one customer", "nobody", "constant", "all zero", "all missing", "only infinities", "two distinct"],
)
def test_too_little_to_learn_from_is_said(values, words):
    with pytest.raises(TooFewCustomers, match=words):
        fit(values, FitRequest("kmeans", kinds_of(values, "money"), k=3))


def test_a_feature_that_tells_nothing_is_left_out_with_a_warning():
    values = {**shop(), "revenue": np.zeros(180), "age": np.full(180, np.nan)}
    fitted = fit(values, FitRequest("kmeans", {**KINDS, "revenue": "money", "age": "number"}, k=3))
    assert [warning["code"] for warning in fitted.warnings] == ["constant_feature", "all_missing"]
    assert fitted.labels.tolist() == [2] * 60 + [1] * 60 + [0] * 60


def test_one_whale_becomes_no_segment():
    random = np.random.default_rng(10)
    spend = random.lognormal(4, 1, 1_000)
    spend[17] = 1e15
    values = {"spend": spend, "orders": random.poisson(3, 1_000) + 1.0}
    fitted = fit(values, FitRequest("kmeans", {"spend": "money", "orders": "count"}, params={"bootstraps": 2}))
    assert np.bincount(fitted.labels).min() >= 20
    assert fitted.labels[17] == 0


def test_infinities_and_huge_numbers_end_in_finite_models():
    values = shop()
    values["spend"][:3] = np.inf, -np.inf, 1e308
    params = {"winsorise": False, "log": False, "bootstraps": 0}
    model = fit(values, FitRequest("kmeans", KINDS, k=2, params=params)).model
    assert np.isfinite(model["parts"]["centres"]).all()


def test_nobody_known_is_unassigned_and_teaches_nothing():
    values = shop()
    values["spend"][5], values["orders"][5], values["city"][5] = np.nan, np.nan, None
    fitted = fit(values, FitRequest("kmeans", KINDS, k=3))
    assert fitted.labels[5] == -1
    assert (np.delete(fitted.labels, 5) >= 0).all()


def test_auto_looks_no_further_than_there_are_distinct_customers():
    values = numbers([1.0, 1, 1, 5, 5, 5, 9, 9, 9] * 5)
    fitted = fit(values, FitRequest("kmeans", kinds_of(values), params={"bootstraps": 2}))
    assert [row["k"] for row in fitted.k_table] == [2, 3]
    assert fitted.k == 3


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"k": 0}, "/k"),
        ({"k": 2.5}, "/k"),
        ({"k": 101}, "/k"),
        ({"k_range": (5, 2)}, "/k_range"),
        ({"params": {"scale": "minmax"}}, "/params/scale"),
        ({"params": {"winsorize": True}}, "/params/winsorize"),
        ({"params": {"pca": 0}}, "/params/pca"),
        ({"min_segment_share": 0.9}, "/min_segment_share"),
        ({"seed": -1}, "/seed"),
        ({"kinds": {"spend": "cash"}}, "/features/spend"),
        ({"kinds": {}}, "/features"),
        ({"method": "dbscan", "k": 3}, "/k"),
        ({"method": "decision_tree"}, "/labels"),
        ({"method": "spectral"}, "/method"),
    ],
)
def test_a_request_that_cannot_be_used_says_where(change, pointer):
    with pytest.raises(InvalidInput) as refused:
        fit(shop(), FitRequest(**{"method": "kmeans", "kinds": KINDS, **change}))
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_a_missing_feature_is_named():
    with pytest.raises(InvalidInput, match="city"):
        fit({"spend": np.ones(5), "orders": np.ones(5)}, FitRequest("kmeans", KINDS, k=2))


def test_a_balanced_category_weighs_like_a_standardised_number():
    # Half and half: two levels lie two standard deviations apart, as a standardised 0 and 1 do.
    column = np.array(["a", "b"] * 50, dtype=object)
    learned = learn({"city": column}, {"city": "category"}, {"scale": "standard"} | _no_numbers())
    points = Transform.of(learned.stored).points({"city": column})
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(2.0)
    unseen, missing = Transform.of(learned.stored).points({"city": np.array(["c", None], dtype=object)})
    assert unseen.tolist() == missing.tolist()


def _no_numbers():
    return {"winsorise": True, "log": "auto", "missing_indicator": False}


def test_rare_levels_become_one_and_twenty_are_kept():
    column = np.array([f"l{at}" for at in range(30) for _ in range(100 - at)] + ["rare"], dtype=object)
    learned = learn({"city": column}, {"city": "category"}, {"scale": "standard"} | _no_numbers())
    assert learned.stored["categories"][0]["levels"] == [f"l{at}" for at in range(20)]


@pytest.mark.parametrize(("kind", "logged"), [("money", 1), ("count", 1), ("days", 1), ("number", 0), ("share", 0)])
def test_only_skewed_money_counts_and_days_are_logged(kind, logged):
    params = {"scale": "robust"} | _no_numbers()
    skewed = np.random.default_rng(1).lognormal(3, 1, 500)
    even = np.linspace(1, 9, 500)
    assert learn({"f": skewed}, {"f": kind}, params).stored["logged"] == logged
    assert learn({"f": even}, {"f": kind}, params).stored["logged"] == 0


def test_negative_money_keeps_its_sign_through_the_log():
    stored = learn(
        {"f": np.array([-500.0, 0, 5e6])},
        {"f": "money"},
        {"scale": "none", "log": True} | {"winsorise": False, "missing_indicator": False},
    ).stored
    points = Transform.of(stored).points({"f": np.array([-500.0, 0.0, 500.0])})
    assert points[:, 0] == pytest.approx([-np.log1p(500), 0, np.log1p(500)])


def test_being_unknown_can_be_a_column():
    values = {"f": np.array([1.0, 2, np.nan, 3])}
    stored = learn(
        values, {"f": "number"}, {"scale": "none", "log": False, "winsorise": False, "missing_indicator": True}
    ).stored
    assert Transform.of(stored).points(values).tolist() == [[1, 0], [2, 0], [2, 1], [3, 0]]


def test_customers_of_whom_nothing_is_known_do_not_make_segments_small() -> None:
    rng = np.random.default_rng(3)
    spend = np.concatenate([rng.normal(centre, 1.0, 40) for centre in (10.0, 50.0, 90.0)])
    asked = FitRequest("kmeans", {"score": "number"}, k="auto")
    alone = fit({"score": spend}, asked)
    among = fit({"score": np.concatenate([spend, np.full(6_000, np.nan)])}, asked)
    assert alone.k == among.k == 3
    assert [row["eligible"] for row in among.k_table] == [row["eligible"] for row in alone.k_table]
    assert among.labels[:120].tolist() == alone.labels.tolist()
    assert set(among.labels[120:].tolist()) == {-1}
