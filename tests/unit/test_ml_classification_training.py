"""Learning a classifier: who judges, what is chosen, what is refused, and that nothing is told by what it is to tell."""

import json

import numpy as np
import pytest
from scipy.special import expit

from app.errors import InvalidInput, TooFewCustomers
from app.ml.artifact import seal
from app.ml.classification.calibrating import Calibrated, calibrate, learn_link
from app.ml.classification.choosing import choose
from app.ml.classification.contest import Trial
from app.ml.classification.leakage import TOO_GOOD, examine
from app.ml.classification.learning import Sample, Task, learn_parts
from app.ml.classification.links import Link
from app.ml.classification.request import ClassifierRequest, candidates_of
from app.ml.classification.scoring import prepare_classifier
from app.ml.classification.training import Cohort, learn_classifier

KINDS = {"spend": "money", "visits": "count", "plan": "category"}
SEED = 3
METRICS = ("roc_auc", "pr_auc", "brier", "log_loss", "calibration_error", "lift")


def cohort(n=500, seed=SEED, shift=0.0, cutoff=None):
    """Customers who leave the more surely the less they come; plans differ; some spend is unknown."""
    draw = np.random.default_rng(seed)
    spend, visits = draw.lognormal(3, 1, n), draw.poisson(3, n).astype(float)
    plan = draw.choice(np.array(["basic", "plus", None], dtype=object), n, p=[0.6, 0.3, 0.1])
    odds = 1.5 - 0.8 * visits + 0.8 * (plan == "basic") + shift
    spend[draw.random(n) < 0.1] = np.nan
    values = {"spend": spend, "visits": visits, "plan": plan}
    return Cohort(values, draw.random(n) < expit(odds), cutoff)


def years(*shifts):
    return [cohort(400, seed=at, shift=shift, cutoff=f"20{20 + at}-01-01") for at, shift in enumerate(shifts)]


def request(algorithm="logistic", kinds=None, **more):
    return ClassifierRequest(algorithm, KINDS if kinds is None else kinds, **more)


def sample_of(one):
    return Sample(one.values, one.outcomes)


def with_column(one, name, column):
    return Cohort({**one.values, name: column}, one.outcomes, one.cutoff)


@pytest.fixture(scope="module")
def learned():
    return learn_classifier(years(0.0, 0.3, -0.3), request(protected="plan"))


def test_the_last_cohort_is_the_test_and_the_one_before_it_chooses(learned):
    evaluation = learned.evaluation
    assert evaluation["judged_on"] == "out_of_time"
    assert [each["role"] for each in evaluation["cohorts"]] == ["training", "choosing", "test"]
    assert [each["cutoff"] for each in evaluation["cohorts"]] == ["2020-01-01", "2021-01-01", "2022-01-01"]
    assert evaluation["n"] == learned.test_probabilities.size == 400
    assert evaluation["positives"] == int(learned.test_outcomes.sum())


def test_what_happened_in_the_test_moves_no_prediction_for_it(learned):
    one, two, last = years(0.0, 0.3, -0.3)
    turned = Cohort(last.values, ~last.outcomes, last.cutoff)
    other = learn_classifier([one, two, turned], request(protected="plan"))
    assert (other.test_probabilities == learned.test_probabilities).all()
    assert (other.test_outcomes != learned.test_outcomes).all()


def test_an_evaluation_is_whole_and_ready_for_json(learned):
    evaluation = json.loads(json.dumps(learned.evaluation, allow_nan=False))
    assert set(evaluation["metrics"]) == set(METRICS)
    assert evaluation["metrics"]["roc_auc"]["low"] < evaluation["metrics"]["roc_auc"]["value"]
    assert evaluation["metrics"]["brier"]["value"] < evaluation["constant"]["brier"]["value"]
    assert evaluation["metrics"]["log_loss"]["value"] < evaluation["constant"]["log_loss"]["value"]
    assert len(evaluation["calibration"]["bins"]) == 10
    assert evaluation["baseline"]["rule"] == "best_single_feature"
    assert evaluation["baseline"]["feature"] == "visits"
    assert evaluation["importances"][0]["feature"] == "visits"
    assert evaluation["importances"][0]["importance"]["low"] > 0
    points = next(each["points"] for each in evaluation["partial_dependence"] if each["feature"] == "visits")
    assert [each["mean_probability"] for each in points] == sorted(
        [e["mean_probability"] for e in points], reverse=True
    )
    plans = next(each["points"] for each in evaluation["partial_dependence"] if each["feature"] == "plan")
    assert [each["value"] for each in plans] == ["basic", "plus", None]
    assert {each["group"] for each in evaluation["fairness"]["groups"]} == {"(missing)", "basic", "plus"}
    assert evaluation["leakage"] == []


def test_the_same_seed_and_customers_give_the_same_bytes():
    one, two = (learn_classifier([cohort(300)], request("gradient_boosting", seed=8)) for _ in range(2))
    assert seal(one.document, secret=b"s", about={}) == seal(two.document, secret=b"s", about={})
    assert json.dumps(one.evaluation) == json.dumps(two.evaluation)
    forests = [learn_parts("random_forest", [shop], Task(KINDS, None, 8)) for shop in [sample_of(cohort(300))] * 2]
    assert seal(forests[0], secret=b"s", about={}) == seal(forests[1], secret=b"s", about={})
    other = learn_classifier([cohort(300)], request("gradient_boosting", seed=9))
    assert seal(other.document, secret=b"s", about={}) != seal(one.document, secret=b"s", about={})


def test_a_season_with_more_leaving_is_not_carried_into_the_next():
    """The middle season loses more; a model calibrated on it alone would expect that of every later one."""
    learned = learn_classifier(years(0.0, 1.5, 0.0), request())
    expected, mean = learned.test_probabilities.mean(), learned.test_outcomes.mean()
    seasons = [each.outcomes.mean() for each in years(0.0, 1.5, 0.0)[:2]]
    assert mean < expected < seasons[1]
    assert expected == pytest.approx(np.mean(seasons), abs=0.03)


def test_one_cohort_is_judged_by_models_that_have_not_seen_the_customer():
    one = cohort(600)
    # A feature of noise in which every customer is unique: only who has seen the customer can know the outcome by it.
    noisy = with_column(one, "noise", np.random.default_rng(1).random(600))
    blind = Cohort(noisy.values, np.random.default_rng(2).random(600) < 0.5)
    learned = learn_classifier([blind], request("random_forest", {"noise": "number"}))
    assert learned.evaluation["judged_on"] == "out_of_fold"
    auc = learned.evaluation["metrics"]["roc_auc"]
    assert auc["low"] < 0.5 < auc["high"]


def test_auto_takes_the_straight_line_where_it_is_one_and_trees_where_it_is_none():
    straight = learn_classifier([cohort(600)], request("auto"))
    assert straight.algorithm == "logistic"
    draw = np.random.default_rng(4)
    left, right = draw.normal(size=600), draw.normal(size=600)
    crossed = Cohort({"left": left, "right": right}, draw.random(600) < np.where(left * right > 0, 0.9, 0.1))
    found = learn_classifier([crossed], request("auto", {"left": "number", "right": "number"}))
    assert found.algorithm in ("random_forest", "gradient_boosting")
    table = {each["algorithm"]: each for each in found.evaluation["candidates"]}
    assert list(table) == ["logistic", "gradient_boosting", "random_forest"]
    assert [each["algorithm"] for each in table.values() if each["chosen"]] == [found.algorithm]
    line = table["logistic"]
    assert line["difference"] > line["standard_error"] > 0
    assert "more than one standard error" in line["why"]
    losses = {name: each["validation"]["log_loss"]["value"] for name, each in table.items()}
    lowest = min(losses, key=losses.get)
    for name, each in table.items():
        assert each["difference"] == pytest.approx(losses[name] - losses[lowest], abs=1e-12)
        assert f"{losses[name]:.4f}" in each["why"]


def trial(algorithm, choosing, outcomes):
    calibrated = Calibrated("none", {}, choosing, {})
    return Trial(algorithm, calibrated, choosing, outcomes, choosing, (), {})


def test_the_simplest_is_chosen_whose_paired_difference_is_within_one_standard_error():
    """Worked by hand: of 100 customers all stayed, so that each loss is -log(1 - p)."""
    outcomes, best = np.zeros(100, dtype=bool), np.full(100, 1 - np.exp(-0.5))

    def above(mean, spread):
        """Losses that differ from .5 by mean + and - spread in turn: the standard error is spread / sqrt(99)."""
        return 1 - np.exp(-(0.5 + mean + np.tile([spread, -spread], 50)))

    near, far = above(0.009, 0.1), above(0.011, 0.1)
    assert 0.009 < 0.1 / np.sqrt(99) < 0.011
    trials = [trial("random_forest", best, outcomes), trial("logistic", near, outcomes), trial("btyd", far, outcomes)]
    found = choose(trials)
    assert [each.chosen for each in found] == [False, True, False]
    assert [each.difference for each in found] == pytest.approx([0, 0.009, 0.011], abs=1e-12)
    assert [each.standard_error for each in found] == pytest.approx([0, *[0.1 / np.sqrt(99)] * 2], abs=1e-12)
    # The losses of one vary as those of the other and are always a little higher: not chance, however wide they lie.
    shared = np.tile([0.4, -0.4], 50)
    lower, higher = (1 - np.exp(-(0.5 + add + shared)) for add in (0.0, 0.001))
    apart = choose([trial("logistic", higher, outcomes), trial("gradient_boosting", lower, outcomes)])
    assert [each.chosen for each in apart] == [False, True]


def test_rare_outcomes_are_not_made_more_frequent():
    draw = np.random.default_rng(6)
    visits = draw.poisson(3, 4_000).astype(float)
    rare = Cohort({"visits": visits}, draw.random(4_000) < expit(-3.2 - 0.4 * visits + 0.8))
    assert rare.outcomes.mean() < 0.05
    learned = learn_classifier([rare], request("logistic", {"visits": "count"}))
    error = learned.test_probabilities.mean() - rare.outcomes.mean()
    assert abs(error) < 4 * rare.outcomes.std() / np.sqrt(4_000)


def test_customers_whose_outcome_is_unknown_are_left_out_and_counted():
    one = cohort(600)
    outcomes = one.outcomes.astype(float)
    outcomes[::2] = np.nan
    learned = learn_classifier([Cohort(one.values, outcomes)], request())
    assert learned.evaluation["cohorts"][0] == {
        "role": "cross_validated",
        "cutoff": None,
        "n": 300,
        "positives": int(one.outcomes[1::2].sum()),
        "drawn_from": 300,
        "unlabelled": 300,
    }
    assert [each["code"] for each in learned.evaluation["warnings"]] == ["labels_missing"]
    as_objects = np.where(np.isnan(outcomes), None, outcomes.astype(bool))
    again = learn_classifier([Cohort(one.values, as_objects)], request())
    assert (again.test_probabilities == learned.test_probabilities).all()


def test_a_plan_never_seen_counts_as_any_other():
    learned = learn_classifier([cohort(600)], request())
    scorer = prepare_classifier(learned.document)
    values = {"spend": np.full(2, 20.0), "visits": np.full(2, 3.0)}
    told = scorer.probabilities({**values, "plan": np.array(["gold", "silver"], dtype=object)})
    assert told[0] == told[1]
    assert 0 < told[0] < 1


def test_a_feature_that_knows_the_outcome_is_named_and_left_out_unless_insisted_on():
    one = cohort(600)
    draw = np.random.default_rng(7)
    happened = one.outcomes
    leaks = {
        "days_to_cancelling": ("number", np.where(happened, draw.random(600), 1 + draw.random(600)), "value"),
        "reason": ("category", np.where(happened, "moved", "none").astype(object), "category"),
        "cancelled_at": ("days", np.where(happened, draw.random(600), np.nan), "missingness"),
    }
    values = {**one.values, **{name: column for name, (_, column, _) in leaks.items()}}
    kinds = KINDS | {name: kind for name, (kind, _, _) in leaks.items()}
    learned = learn_classifier([Cohort(values, happened)], request(kinds=kinds, insist=("reason",)))
    found = {each["feature"]: each for each in learned.evaluation["leakage"]}
    assert {name: each["by"] for name, each in found.items()} == {name: by for name, (_, _, by) in leaks.items()}
    assert [name for name, each in found.items() if not each["excluded"]] == ["reason"]
    assert all(each["auc"] > TOO_GOOD and name in each["detail"] for name, each in found.items())
    scorer = prepare_classifier(learned.document)
    assert set(scorer.features) == {"spend", "visits", "plan", "reason"}


def test_an_identifier_is_no_leak_though_every_value_of_it_is_of_one_outcome():
    outcomes = np.random.default_rng(0).random(400) < 0.5
    names = np.array([f"customer {at}" for at in range(400)], dtype=object)
    # Told by others of the level, of whom there are none, it is chance: the standard error of an AUC here is .03.
    assert examine({"name": names}, outcomes, {"name": "category"}, seed=0)[0].auc == pytest.approx(0.5, abs=0.1)


def history(n=700, horizon=90, seed=2):
    """Buyers with their own pace who leave at their own time, seen for up to a year and a horizon longer."""
    draw = np.random.default_rng(seed)
    pace, stay = draw.gamma(1.0, 1 / 40, n), draw.exponential(300, n)
    first = draw.integers(100, 365, n).astype(float)
    days, last, outcomes = np.ones(n), first.copy(), np.empty(n, dtype=bool)
    for at in range(n):
        bought = np.floor(np.cumsum(draw.exponential(1 / pace[at], 200)) + 1)
        bought = np.unique(bought[bought <= stay[at]])
        before = bought[bought <= first[at]]
        days[at] += before.size
        last[at] -= before.max(initial=0.0)
        outcomes[at] = not ((bought > first[at]) & (bought <= first[at] + horizon)).any()
    names = ("purchase_days", "days_since_last_purchase", "days_since_first_purchase")
    return Cohort(dict(zip(names, (days, last, first), strict=True)), outcomes)


def test_btyd_learns_from_purchases_alone_and_is_calibrated():
    learned = learn_classifier([history(seed=1), history(seed=2)], request("btyd", {}, horizon_days=90))
    metrics = learned.evaluation["metrics"]
    assert metrics["brier"]["value"] < learned.evaluation["constant"]["brier"]["value"]
    assert metrics["roc_auc"]["low"] > 0.7
    assert learned.evaluation["baseline"]["rule"] == "recency"
    assert metrics["log_loss"]["value"] < learned.evaluation["baseline"]["metrics"]["log_loss"]["value"]
    assert learned.test_probabilities.mean() == pytest.approx(learned.test_outcomes.mean(), abs=0.06)
    assert prepare_classifier(learned.document).features[0] == "purchase_days"


def test_btyd_competes_where_there_is_a_horizon_and_says_why_it_cannot():
    assert candidates_of(request("auto", horizon_days=90))[0] == "btyd"
    assert "btyd" not in candidates_of(request("auto"))
    learned = learn_classifier([cohort(200)], request("auto", {"visits": "count"}, horizon_days=90))
    out = learned.evaluation["candidates"][0]
    assert (out["algorithm"], out["chosen"], out["validation"], out["test"]) == ("btyd", False, None, None)
    assert "purchase_days" in out["why"]


REFUSED = {
    "everyone_active": (lambda one: (one.values, np.zeros(600, dtype=bool)), {"horizon_days": 90}),
    "one_class": (lambda one: (one.values, np.ones(600, dtype=bool)), {}),
    "too_few_positives": (lambda one: (one.values, np.arange(600) < 49), {}),
    "too_few_negatives": (lambda one: (one.values, np.arange(600) >= 49), {}),
    "no_customers": (lambda one: (one.values, np.full(600, np.nan)), {}),
    "no_features": (lambda one: ({"spend": np.ones(600)}, one.outcomes), {"kinds": {"spend": "money"}}),
    "missing_feature": (lambda one: (one.values, one.outcomes), {"kinds": {"age": "number"}}),
    "invalid_value": (lambda one: (one.values, np.full(600, "maybe")), {}),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_learned_is_refused_in_plain_words(code):
    change, asked = REFUSED[code]
    with pytest.raises(InvalidInput) as refused:
        learn_classifier([Cohort(*change(cohort(600)))], request(**asked))
    assert refused.value.errors[0].code == code
    assert "Traceback" not in refused.value.detail
    assert len(refused.value.detail) > 20


def test_a_horizon_less_btyd_an_unknown_algorithm_and_a_negative_seed_are_refused_together():
    with pytest.raises(InvalidInput) as refused:
        learn_classifier([cohort()], ClassifierRequest("btyd", {"a": "shape"}, None, seed=-1))
    assert [each.pointer for each in refused.value.errors] == ["/algorithm", "/features/a", "/seed"]
    with pytest.raises(InvalidInput, match="one of auto"):
        learn_classifier([cohort()], ClassifierRequest("oracle", KINDS))
    with pytest.raises(InvalidInput, match="nothing to learn"):
        learn_classifier([], request())


def test_btyd_without_the_columns_of_purchases_names_them():
    with pytest.raises(InvalidInput) as refused:
        learn_classifier([cohort()], request("btyd", {}, horizon_days=90))
    assert {each.pointer for each in refused.value.errors} >= {"purchase_days"}


def test_nobody_returning_leaves_btyd_nothing_to_learn_from():
    once = history(300)
    values = {**once.values, "purchase_days": np.ones(300)}
    values["days_since_last_purchase"] = values["days_since_first_purchase"]
    with pytest.raises(TooFewCustomers) as refused:
        learn_classifier([Cohort(values, once.outcomes)], request("btyd", {}, horizon_days=90))
    assert refused.value.errors[0].code == "no_repeat_purchases"


def test_platt_finds_the_line_that_scores_were_bent_by():
    draw = np.random.default_rng(9)
    truth = draw.normal(-0.5, 1.5, 20_000)
    outcomes = draw.random(truth.size) < expit(truth)
    # Scores three times too sure and shifted: truth = score / 3 - 1.
    link = learn_link(3 * (truth + 1), outcomes, "platt", "log_odds")
    # Standard errors of a logistic regression of this size are about .02.
    assert link["slope"] == pytest.approx(1 / 3, abs=0.01)
    assert link["intercept"] == pytest.approx(-1.0, abs=0.08)


def test_bent_scores_are_straightened_and_few_are_left_alone():
    draw = np.random.default_rng(10)
    truth = draw.normal(0, 1.5, 3_000)
    outcomes = draw.random(truth.size) < expit(truth)
    # More than one standard error better than what is right already can only be a line close to it; its own is .04.
    right = calibrate(truth, outcomes, scale="log_odds", seed=0)
    assert right.method != "isotonic"
    assert right.stored["slope"] == pytest.approx(1.0, abs=0.16)
    assert calibrate(2.5 * truth, outcomes, scale="log_odds", seed=0).method == "platt"
    stepped = np.sign(truth) * np.abs(truth) ** 4
    assert calibrate(stepped, outcomes, scale="log_odds", seed=0).method == "isotonic"
    few = calibrate(2.5 * truth[:30], outcomes[:30], scale="log_odds", seed=0)
    assert few.method == "none"


def test_an_isotonic_link_never_falls_and_never_promises_certainty():
    draw = np.random.default_rng(12)
    scores = draw.normal(size=2_000)
    link = Link.of(learn_link(scores, draw.random(2_000) < expit(3 * scores), "isotonic", "log_odds"))
    told = expit(link.log_odds(np.linspace(-9, 9, 500)))
    assert (np.diff(told) >= 0).all()
    assert 0 < told[0] < 0.01 < 0.99 < told[-1] < 1


def test_a_score_that_runs_against_the_outcome_is_not_turned_round():
    scores = np.arange(200.0) / 100
    assert learn_link(scores, scores < 1, "platt", "log_odds")["method"] == "none"
