"""Classifiers as plain arrays: they say what scikit-learn says, quickly, and take their answers apart without a rest."""

import itertools
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from app.errors import InvalidInput, ModelFormatUnknown
from app.ml.artifact import seal, unseal
from app.ml.classification.calibrating import learn_link
from app.ml.classification.ensemble import Ensemble
from app.ml.classification.growing import BOOSTING, FOREST
from app.ml.classification.learning import Sample, Task, learn_parts
from app.ml.classification.links import plain
from app.ml.classification.purchases import Purchases, histories_of
from app.ml.classification.request import BTYD_COLUMNS
from app.ml.classification.scoring import Scorer, prepare_classifier
from app.ml.threads import repeatable
from app.ml.transform import Transform
from app.stats.btyd.forecasting import p_no_purchase

KINDS = {"spend": "money", "visits": "count", "age": "number", "plan": "category"}
SCALES = {"btyd": "log_odds", "logistic": "log_odds", "random_forest": "share", "gradient_boosting": "log_odds"}
ALGORITHMS = tuple(SCALES)
SEED = 11
# Sums of a few hundred doubles in another order.
ROUNDING = 1e-9


def shop(n, seed=SEED):
    """Customers whose leaving depends on what they spend, how often they come, their plan, and on what is unknown."""
    draw = np.random.default_rng(seed)
    spend, visits, age = draw.lognormal(3, 1.5, n), draw.poisson(4, n).astype(float), draw.normal(40, 12, n)
    plan = draw.choice(np.array(["basic", "plus", "pro", None], dtype=object), n, p=[0.5, 0.3, 0.1, 0.1])
    odds = 1.0 - 0.4 * visits + 0.5 * (plan == "basic") + 0.03 * (age - 40) * (visits > 4) - 0.2 * np.log(spend)
    odds[spend > 100] += 1.0
    age[draw.random(n) < 0.1] = np.nan
    first = draw.integers(60, 400, n).astype(float)
    days = 1.0 + draw.poisson(visits * first / 400)
    last = np.where(days > 1, np.floor(first * draw.random(n)), first)
    last = np.where(days > 1, np.minimum(last, first - 1), last)
    history = dict(zip(BTYD_COLUMNS, (days, last, first), strict=True))
    values = {"spend": spend, "visits": visits, "age": age, "plan": plan, **history}
    return Sample(values, draw.random(n) < expit(odds))


@pytest.fixture(scope="module")
def sample():
    return shop(1_500)


@pytest.fixture(scope="module")
def strangers():
    """Customers not learned from: with an unseen plan, infinite and absurd numbers, and one of whom nothing is known."""
    values = shop(300, seed=5).values
    values["plan"][:3] = "of another shop"
    values["spend"][3:6] = np.inf, -np.inf, 1e300
    values["age"][6] = np.nan
    for name, column in values.items():
        column[7] = None if name == "plan" else np.nan
    return values


@pytest.fixture(scope="module")
def learned(sample):
    task = Task(KINDS, 90, SEED)
    return {algorithm: learn_parts(algorithm, [sample], task) for algorithm in ALGORITHMS}


def scorer_of(learned, algorithm, link=None):
    link = link or plain("none", SCALES[algorithm])
    return prepare_classifier({"algorithm": algorithm, "parts": learned[algorithm], "link": link})


def rows_for_sklearn(learned, algorithm, values):
    rows = Ensemble.of(learned[algorithm]).rows
    return rows.as_they_are(values, 0, values["spend"].size).T


def test_boosted_trees_say_what_scikit_learn_says_also_of_the_unknown_and_the_unseen(learned, sample, strangers):
    model = HistGradientBoostingClassifier(**BOOSTING, random_state=SEED)
    with repeatable():
        model.fit(rows_for_sklearn(learned, "gradient_boosting", sample.values), sample.outcomes)
        wanted = model.predict_proba(rows_for_sklearn(learned, "gradient_boosting", strangers))[:, 1]
    found = scorer_of(learned, "gradient_boosting").probabilities(strangers)
    assert np.abs(found - wanted).max() < ROUNDING
    assert np.ptp(found) > 0.3


def test_a_forest_says_what_scikit_learn_says_wherever_that_has_seen_the_unknown(learned, sample, strangers):
    model = RandomForestClassifier(**FOREST, random_state=SEED)
    with repeatable():
        model.fit(rows_for_sklearn(learned, "random_forest", sample.values).astype(np.float32), sample.outcomes)
        wanted = model.predict_proba(rows_for_sklearn(learned, "random_forest", strangers).astype(np.float32))[:, 1]
    found = scorer_of(learned, "random_forest").probabilities(strangers)
    # Ages were unknown among those learned from; spend and visits never were.
    seen = np.isfinite(strangers["spend"]) & np.isfinite(strangers["visits"])
    assert np.isnan(strangers["age"][seen]).any()
    assert np.abs(found - wanted)[seen].max() < ROUNDING


def test_in_a_forest_the_unknown_that_nobody_has_seen_go_with_the_many(sample):
    # A flag that most customers do not have, and never unknown.
    flag = np.where(np.arange(1_500) % 5 == 0, 1.0, 0.0)
    outcomes = np.random.default_rng(SEED).random(1_500) < np.where(flag > 0, 0.9, 0.1)
    parts = learn_parts("random_forest", [Sample({"flag": flag}, outcomes)], Task({"flag": "number"}, None, SEED))
    scorer = scorer_of({"random_forest": parts}, "random_forest")
    unknown, without, owner = scorer.probabilities({"flag": np.array([np.nan, 0.0, 1.0])})
    assert unknown == without
    assert owner > 0.8


def test_logistic_regression_folded_says_what_scikit_learn_says(learned, sample, strangers):
    transform = Transform.of(learned["logistic"]["preparation"])
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200)
    model.fit(transform.points(sample.values), sample.outcomes)
    wanted = model.predict_proba(transform.points(strangers))[:, 1]
    assert np.abs(scorer_of(learned, "logistic").probabilities(strangers) - wanted).max() < ROUNDING


def test_purchases_say_what_the_fitted_family_says(learned, sample):
    parts = learned["btyd"]
    days, last, first = (sample.values[name] for name in BTYD_COLUMNS)
    wanted = p_no_purchase(parts["family"], parts["parameters"], 90.0, days - 1, first - last, first)
    found = scorer_of(learned, "btyd").probabilities(sample.values)
    assert np.abs(found - np.clip(wanted, expit(-12), expit(12))).max() < ROUNDING


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_customer_alone_gets_what_it_gets_among_many(learned, strangers, algorithm):
    scorer = scorer_of(learned, algorithm)
    together = scorer.probabilities(strangers)
    names, parts, base = scorer.contributions(strangers)
    assert np.isfinite(together).all()
    assert ((together > 0) & (together < 1)).all()
    for at in range(20):
        one = {name: column[at : at + 1] for name, column in strangers.items()}
        assert scorer.probabilities(one)[0] == pytest.approx(together[at], abs=1e-12)
        assert scorer.contributions(one)[1][0] == pytest.approx(parts[at], abs=ROUNDING)
    assert names == scorer.features
    assert math.isfinite(base)


def links_for(learned, algorithm, sample):
    scores = scorer_of(learned, algorithm).model
    told = scores.score(scores.read(sample.values, 0, sample.outcomes.size))
    return [learn_link(told, sample.outcomes, method, SCALES[algorithm]) for method in ("none", "platt", "isotonic")]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_contributions_add_up_to_the_log_odds_of_the_answer_however_calibrated(learned, sample, strangers, algorithm):
    for link in links_for(learned, algorithm, sample):
        scorer = scorer_of(learned, algorithm, link)
        _, parts, base = scorer.contributions(strangers)
        answered = logit(scorer.probabilities(strangers))
        assert np.abs(parts.sum(axis=1) + base - answered).max() < 1e-6
        # Bounded log odds are not explained by unbounded parts.
        assert np.abs(parts).max() < 40


@pytest.mark.parametrize("algorithm", ["gradient_boosting", "random_forest"])
def test_contributions_of_trees_are_shapley_values_against_the_background(learned, strangers, algorithm):
    model = Ensemble.of(learned[algorithm])
    columns = model.read(strangers, 0, 8)
    # Of small trees one table each, of large ones one a leaf.
    assert (model.tables is not None) == (algorithm == "gradient_boosting")
    found, base = model.parts(columns)
    assert base == pytest.approx(model.score(model.background).mean(), abs=ROUNDING)
    for at in range(8):
        wanted = by_all_coalitions(lambda known, at=at: worth(model, columns[:, at], known), len(model.names))
        assert found[at] == pytest.approx(wanted, abs=ROUNDING)


def worth(model, column, known):
    """The mean score of the background with the features of a coalition taken from the customer."""
    mixed = model.background.copy()
    own = np.isin(model.owners, list(known))
    mixed[own] = column[own, np.newaxis]
    return model.score(mixed).mean()


def by_all_coalitions(worth_of, features):
    """Shapley (1953) by its definition."""
    found = np.zeros(features)
    for feature in range(features):
        others = [each for each in range(features) if each != feature]
        for size in range(features):
            share = math.factorial(size) * math.factorial(features - size - 1) / math.factorial(features)
            for known in itertools.combinations(others, size):
                found[feature] += share * (worth_of({*known, feature}) - worth_of(known))
    return found


def test_contributions_of_purchases_are_shapley_values_against_the_background(learned, sample):
    model = Purchases.of(learned["btyd"])
    columns = model.read(sample.values, 0, 8)
    found, _ = model.parts(columns)
    for at in range(8):
        wanted = by_all_coalitions(lambda known, at=at: worth(model, columns[:, at], known), 3)
        assert found[at] == pytest.approx(wanted, abs=ROUNDING)


def test_contributions_of_a_linear_model_are_its_terms(learned, strangers):
    scorer = scorer_of(learned, "logistic")
    _, parts, base = scorer.contributions(strangers)
    transform = Transform.of(learned["logistic"]["preparation"])
    points = transform.points(strangers)
    mean = (learned["logistic"]["middle"] - transform.centre[:, 0]) / transform.scale[:, 0]
    terms = learned["logistic"]["weights"] * (points - mean)
    spend = [owner == "spend" for owner in transform.owners]
    assert parts[:, scorer.features.index("spend")] == pytest.approx(terms[:, spend].sum(axis=1), abs=ROUNDING)
    assert base == pytest.approx(learned["logistic"]["bias"] + learned["logistic"]["weights"] @ mean, abs=ROUNDING)


def test_impossible_histories_are_read_as_the_nearest_possible_one():
    columns = np.array([[5.0, 0.0, 3.0, 2.0], [90.0, 10.0, 40.0, -3.0], [40.0, 10.0, 40.0, 0.0]])
    x, t_x, age = histories_of(columns)
    assert x.tolist() == [4.0, 0.0, 2.0, 1.0]
    assert (t_x <= age).all()
    assert ((x > 0) == (t_x > 0)).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_sealed_classifier_scores_as_before(learned, strangers, algorithm):
    document = {"algorithm": algorithm, "parts": learned[algorithm], "link": plain("none", SCALES[algorithm])}
    content, signature = seal(document, secret=b"of this test", about={"kind": "churn"})
    again = prepare_classifier(unseal(content, signature, secret=b"of this test", about={"kind": "churn"}))
    assert (again.probabilities(strangers) == prepare_classifier(document).probabilities(strangers)).all()
    assert (again.contributions(strangers)[1] == prepare_classifier(document).contributions(strangers)[1]).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_score_takes_well_under_a_millisecond_and_its_reasons_a_few(learned, strangers, algorithm):
    scorer = scorer_of(learned, algorithm)
    one = {name: column[:1] for name, column in strangers.items()}
    assert quickest(lambda: scorer.probabilities(one)) < 0.001
    assert quickest(lambda: scorer.contributions(one)) < 0.005


def quickest(call):
    found = []
    for _ in range(50):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return min(found)


def test_a_missing_feature_is_named(learned):
    with pytest.raises(InvalidInput, match="visits") as refused:
        scorer_of(learned, "logistic").probabilities({"spend": np.ones(1), "age": np.ones(1), "plan": np.ones(1)})
    assert refused.value.errors[0].code == "missing_feature"


def test_nobody_gets_no_scores(learned):
    for algorithm in ALGORITHMS:
        scorer = scorer_of(learned, algorithm)
        nobody = {name: np.empty(0, dtype=object if name == "plan" else float) for name in (*KINDS, *BTYD_COLUMNS)}
        assert scorer.probabilities(nobody).size == 0
        assert scorer.contributions(nobody)[1].shape == (0, len(scorer.features))


def test_what_another_version_learned_is_refused_by_name(learned):
    with pytest.raises(ModelFormatUnknown, match="oracle"):
        prepare_classifier({"algorithm": "oracle", "parts": {}, "link": plain("none", "log_odds")})
    with pytest.raises(ModelFormatUnknown, match="beta"):
        scorer_of(learned, "logistic", plain("beta", "log_odds"))


def test_what_is_ready_stays_as_it_is(learned):
    scorer = scorer_of(learned, "logistic")
    assert isinstance(scorer, Scorer)
    assert prepare_classifier(scorer) is scorer


def test_scoring_needs_neither_scikit_learn_nor_the_heavy_parts_of_scipy():
    code = (
        "import sys, app.ml.classification.scoring, app.ml.classification.request;"
        "print([name for name in ('sklearn', 'scipy.stats', 'pandas', 'joblib') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
