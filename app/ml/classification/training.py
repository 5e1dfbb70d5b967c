"""The one way to learn a classifier: candidates compete out of time, the winner is judged, explained and learned anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.classification.choosing import Standing, choose
from app.ml.classification.cohorts import Cohort, Labelled, groups_of, labelled, refuse_hopeless
from app.ml.classification.contest import Dropout, Trial, ship, try_out
from app.ml.classification.explaining import importances, partial_dependence
from app.ml.classification.judging import calibration_of, fairness_of, figures, shown
from app.ml.classification.leakage import Alone, examine, told
from app.ml.classification.learning import MOST_LEARNED_FROM, Sample, Task, drawn
from app.ml.classification.request import BTYD_COLUMNS, ClassifierRequest, candidates_of, checked
from app.ml.classification.scoring import prepare_classifier
from app.ml.columns import Floats, Kind, Values
from app.stats.calibration import brier_score, log_loss

__all__ = ["Classified", "Cohort", "learn_classifier"]

RECENCY = "days_since_last_purchase"
BTYD_KINDS: dict[str, Kind] = dict(zip(BTYD_COLUMNS, ("count", "days", "days"), strict=True))
JUDGED_ON = {
    True: "Judged on the last cohort by a model of those before it, calibrated on scores that each of these got from a "
    "model of the others. Of several candidates the simplest was chosen whose log loss on the cohort before the last, "
    "each candidate calibrated on that cohort itself, is within one standard error of the lowest. What ships learned in "
    "the same way from all cohorts.",
    False: "Judged on each fifth of the customers by a model of the other four, calibrated in the same way. Of several "
    "candidates the simplest was chosen whose log loss is within one standard error of the lowest. What ships learned "
    "in the same way from everybody.",
}


@dataclass(frozen=True, slots=True)
class Classified:
    """What was learned.

    Parameters
    ----------
    document : dict
        Plain: ready for `artifact.seal` and `scoring.prepare_classifier`.
    algorithm : str
        The one that was chosen.
    evaluation : dict
        Ready for JSON; see `learn_classifier`.
    test_probabilities : ndarray of float64, shape (m,)
        What models said about customers they had not learned from.
    test_outcomes : ndarray of bool, shape (m,)
        What happened to these.
    test_values : mapping of str to ndarray, shape (m,)
        Their features, also the columns of `request.BTYD_COLUMNS` and the protected one where given.
    """

    document: dict[str, Any]
    algorithm: str
    evaluation: dict[str, Any]
    test_probabilities: Floats
    test_outcomes: npt.NDArray[np.bool_]
    test_values: Values


def learn_classifier(cohorts: Sequence[Cohort], request: ClassifierRequest) -> Classified:
    """Learn how likely an outcome is, and how far that can be believed.

    No customer is repeated, dropped or weighted because an outcome is rare: resampling would shift every probability.
    Rare outcomes show in the intervals instead.

    Parameters
    ----------
    cohorts : sequence of Cohort
        In order of time. With two or more the last is the out-of-time test; with three or more the one before it
        chooses among candidates. A single one is judged out of fold. Of more than 100,000 customers in a cohort as
        many are drawn.
    request : ClassifierRequest
        How.

    Returns
    -------
    Classified
        The same to the byte for the same cohorts, request and versions of the libraries. ``evaluation`` holds:
        ``judged_on`` ("out_of_time" or "out_of_fold") and ``note``; ``n``, ``positives`` and ``unlabelled`` by cohort
        in ``cohorts`` (each with its ``cutoff``, ``role`` and how many it was ``drawn_from``), those of the test at the top; ``metrics`` (``roc_auc,
        pr_auc, brier, log_loss, calibration_error, lift``, estimates); ``base_rate`` (of the test) and ``constant``
        (``probability``, the rate learned from, with its ``brier`` and ``log_loss``); ``calibration`` (``method``,
        ``losses``, ``bins``, ``line``); ``baseline`` (``rule``, ``feature``, ``metrics``); ``candidates`` (see
        `choosing.Standing`, with figures on the choosing customers and the test);
        ``importances``; ``partial_dependence``; ``leakage``; ``alone`` (AUC of each feature by itself); ``fairness``
        where a protected column is given; ``warnings``.

    Raises
    ------
    InvalidInput
        If the request or a column is not usable, or one class only is known ("one_class", "everyone_active").
    TooFewCustomers
        If fewer than 50 of a class can be learned from ("too_few_positives", "too_few_negatives"), or no feature
        tells customers apart.
    """
    known = labelled(cohorts, checked(request))
    refuse_hopeless(known, request)
    samples = [each.sample for each in known]
    everybody = drawn(samples, most=MOST_LEARNED_FROM, seed=request.seed)
    alone = examine(everybody.values, everybody.outcomes, request.kinds, seed=request.seed)
    kept = {
        each.feature: request.kinds[each.feature] for each in alone if not each.leaks or each.feature in request.insist
    }
    tried = _contest(samples, request, kept)
    standings = choose([each for each in tried if isinstance(each, Trial)])
    chosen = next(each.trial for each in standings if each.chosen)
    task = Task.of(request, kept)
    document = ship(chosen, samples, task)
    evaluation = _Account(known, request, alone, kept, tried, standings).of(document)
    return Classified(
        document, chosen.algorithm, evaluation, chosen.probabilities, samples[-1].outcomes, samples[-1].values
    )


def _contest(samples: list[Sample], request: ClassifierRequest, kept: dict[str, Kind]) -> list[Trial | Dropout]:
    task = Task.of(request, kept)
    tried: list[Trial | Dropout] = []
    for algorithm in candidates_of(request):
        if algorithm != "btyd" and not kept:
            detail = "no feature is left to learn from"
            tried.append(Dropout(algorithm, "no_features", detail))
            continue
        tried.append(try_out(algorithm, samples, task))
    dropouts = [each for each in tried if isinstance(each, Dropout)]
    if len(dropouts) == len(tried):
        raise dropouts[-1].as_error()
    return tried


@dataclass(frozen=True, slots=True)
class _Account:
    """Everything that is said about what was learned."""

    known: list[Labelled]
    request: ClassifierRequest
    alone: list[Alone]
    kept: dict[str, Kind]
    tried: list[Trial | Dropout]
    standings: list[Standing]

    @property
    def chosen(self) -> Trial:
        return next(each.trial for each in self.standings if each.chosen)

    @property
    def test(self) -> Sample:
        return self.known[-1].sample

    @property
    def in_time(self) -> bool:
        return len(self.known) > 1

    def of(self, document: dict[str, Any]) -> dict[str, Any]:
        ranked = importances(self.chosen.judged, self.test, seed=self.request.seed)
        names = [each["feature"] for each in ranked]
        kinds = {**BTYD_KINDS, **self.request.kinds}
        scorer = prepare_classifier(document)
        outcomes, calibrated = self.test.outcomes, self.chosen.calibrated
        return {
            "judged_on": "out_of_time" if self.in_time else "out_of_fold",
            "note": JUDGED_ON[self.in_time],
            "n": int(outcomes.size),
            "positives": int(outcomes.sum()),
            "cohorts": [each.shown(self._role(at)) for at, each in enumerate(self.known)],
            "metrics": figures(self.chosen.probabilities, outcomes),
            "base_rate": float(outcomes.mean()),
            "constant": self._constant(),
            "calibration": {
                "method": calibrated.method,
                "losses": calibrated.losses,
                **calibration_of(self.chosen.probabilities, outcomes),
            },
            "baseline": self._baseline(),
            "candidates": [self._candidate(each) for each in self.tried],
            "importances": ranked,
            "partial_dependence": partial_dependence(scorer, self.test, names, kinds, seed=self.request.seed),
            "leakage": [told(each, insisted=each.feature in self.request.insist) for each in self.alone if each.leaks],
            "alone": [{"feature": each.feature, "auc": each.auc, "by": each.by} for each in self.alone],
            "fairness": self._fairness(),
            "warnings": [*document["parts"]["warnings"], *(w for each in self.known for w in each.warnings())],
        }

    def _role(self, at: int) -> str:
        if not self.in_time:
            return "cross_validated"
        return {len(self.known) - 1: "test", len(self.known) - 2: "choosing"}.get(at, "training")

    def _learned_rate(self) -> float:
        learned = [each.sample.outcomes for each in (self.known[:-1] or self.known)]
        return float(np.concatenate(learned).mean())

    def _constant(self) -> dict[str, Any]:
        rate, outcomes = self._learned_rate(), self.test.outcomes
        constant = np.full(outcomes.size, rate)
        found = {"brier": shown(brier_score(constant, outcomes)), "log_loss": shown(log_loss(constant, outcomes))}
        return {"probability": rate, **found}

    def _baseline(self) -> dict[str, Any] | None:
        honest = [each for each in self.alone if not each.leaks]
        if RECENCY in self.test.values and RECENCY not in {each.feature for each in self.alone if each.leaks}:
            rule, feature = "recency", RECENCY
        elif honest:
            rule, feature = "best_single_feature", max(honest, key=lambda each: each.auc).feature
        else:
            return None
        kinds: dict[str, Kind] = {feature: self.request.kinds.get(feature, "days")}
        found = try_out("logistic", [each.sample for each in self.known], Task.of(self.request, kinds))
        if isinstance(found, Dropout):
            return None
        return {"rule": rule, "feature": feature, "metrics": figures(found.probabilities, self.test.outcomes)}

    def _candidate(self, tried: Trial | Dropout) -> dict[str, Any]:
        if isinstance(tried, Dropout):
            nothing = dict.fromkeys(("difference", "standard_error", "calibration", "validation", "test"))
            return {"algorithm": tried.algorithm, "chosen": False, "why": tried.detail, **nothing}
        standing = next(each for each in self.standings if each.trial is tried)
        return {
            "algorithm": tried.algorithm,
            "chosen": standing.chosen,
            "why": standing.why if len(self.tried) > 1 else "the one that was asked for",
            "difference": standing.difference,
            "standard_error": standing.standard_error,
            "calibration": tried.calibrated.method,
            "validation": figures(tried.choosing, tried.outcomes),
            "test": figures(tried.probabilities, self.test.outcomes),
        }

    def _fairness(self) -> dict[str, Any] | None:
        if self.request.protected is None:
            return None
        groups = groups_of(self.test.values[self.request.protected])
        return fairness_of(groups, self.chosen.probabilities, self.test.outcomes, threshold=self._learned_rate())
