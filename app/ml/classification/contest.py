"""Lets algorithms compete on customers they have not seen, and keeps what is needed to judge and to ship the winner."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import FieldError, InvalidInput, TooFewCustomers
from app.ml.classification.calibrating import LEAST_OF_A_CLASS, Calibrated, calibrate, learn_link, losses
from app.ml.classification.folds import folds_of
from app.ml.classification.learning import SCALES, Flags, Sample, Task, learn_parts, pooled
from app.ml.classification.links import Link
from app.ml.classification.request import Candidate
from app.ml.classification.scoring import MODELS, Model, Scorer
from app.ml.columns import Floats, Integers


@dataclass(frozen=True, slots=True)
class Judged:
    """A model beside the customers of the test whom it has not seen."""

    scorer: Scorer
    positions: Integers


@dataclass(frozen=True, slots=True)
class Trial:
    """How one algorithm did.

    Parameters
    ----------
    algorithm : str
    calibrated : Calibrated
        The calibration, chosen on customers of whom the algorithm has not learned.
    choosing : ndarray of float64, shape (m,)
        For the customers that choose among algorithms, calibrated on each other: how many leave in a season is no
        merit of an algorithm.
    outcomes : ndarray of bool, shape (m,)
        What happened to these.
    probabilities : ndarray of float64, shape (n,)
        For the customers of the test.
    judged : tuple of Judged
        The models behind these: one, or one for each fold.
    link : dict
        The calibration that ships, in plain form.
    """

    algorithm: Candidate
    calibrated: Calibrated
    choosing: Floats
    outcomes: Flags
    probabilities: Floats
    judged: tuple[Judged, ...]
    link: dict[str, Any]

    @property
    def loss(self) -> float:
        """By what candidates are compared: the mean log loss of the choosing customers."""
        return float(losses(self.choosing, self.outcomes).mean())


@dataclass(frozen=True, slots=True)
class Dropout:
    """An algorithm that could not take part, and why in a code and in words."""

    algorithm: Candidate
    reason: str
    detail: str

    def as_error(self) -> InvalidInput:
        """For when nobody else takes part."""
        return TooFewCustomers(self.detail, errors=[FieldError("/features", self.reason, self.detail)])


def try_out(algorithm: Candidate, samples: Sequence[Sample], task: Task) -> Trial | Dropout:
    """Learn by an algorithm and predict for customers it has not seen.

    With one sample everything is told of each fifth of it by a model of the other four. With more, the last is the
    test: predicted by a model of all before it. The calibration is learned from scores of each of these by a model of
    the others (a single one: of its fifths). Seasons differ in how many leave: a calibration on one of them alone
    would carry its level into all others, and into a model that has learned from it already once more.

    Parameters
    ----------
    algorithm : str
        One of `request.CANDIDATES`.
    samples : sequence of Sample
        In order of time, at least one.
    task : Task

    Returns
    -------
    Trial or Dropout
    """
    try:
        return _in_time(algorithm, samples, task) if len(samples) > 1 else _in_fifths(algorithm, samples[0], task)
    except InvalidInput as error:
        reason = error.errors[0].code if error.errors else "no_features"
        return Dropout(algorithm, reason, error.detail)


def ship(trial: Trial, samples: Sequence[Sample], task: Task) -> dict[str, Any]:
    """Learn by the way that was chosen from everybody there is.

    Parameters
    ----------
    trial : Trial
        Of the algorithm.
    samples : sequence of Sample
        All of them.
    task : Task

    Returns
    -------
    dict
        For `scoring.prepare_classifier`.
    """
    parts = learn_parts(trial.algorithm, samples, task)
    features = [{"name": name, "kind": kind} for name, kind in task.kinds.items()]
    return {"algorithm": trial.algorithm, "features": features, "parts": parts, "link": trial.link}


def _in_fifths(algorithm: Candidate, sample: Sample, task: Task) -> Trial:
    scores, models = _out_of_fold(algorithm, sample, task)
    calibrated = calibrate(scores, sample.outcomes, scale=SCALES[algorithm], seed=task.seed)
    judged = tuple(Judged(_scorer(algorithm, model, calibrated.stored), kept) for model, kept in models)
    told = calibrated.probabilities
    return Trial(algorithm, calibrated, told, sample.outcomes, told, judged, calibrated.stored)


def _in_time(algorithm: Candidate, samples: Sequence[Sample], task: Task) -> Trial:
    *known, test = samples
    if any(min(int(each.outcomes.sum()), int((~each.outcomes).sum())) < LEAST_OF_A_CLASS for each in known):
        # A cohort from which alone nothing can be learned is no cohort of its own.
        known = [pooled(known)]
    scale = SCALES[algorithm]
    unseen = _unseen(algorithm, known, task)
    outcomes = [each.outcomes for each in known]
    calibrated = calibrate(np.concatenate(unseen), np.concatenate(outcomes), scale=scale, seed=task.seed)
    model = _model(algorithm, known, task)
    tested = _scores(model, test)
    scorer = _scorer(algorithm, model, calibrated.stored)
    link = learn_link(
        np.concatenate([*unseen, tested]), np.concatenate([*outcomes, test.outcomes]), calibrated.method, scale
    )
    return Trial(
        algorithm,
        calibrated,
        calibrate(unseen[-1], outcomes[-1], scale=scale, seed=task.seed).probabilities,
        outcomes[-1],
        scorer.probabilities(test.values),
        (Judged(scorer, np.arange(test.outcomes.size)),),
        link,
    )


def _unseen(algorithm: str, known: Sequence[Sample], task: Task) -> list[Floats]:
    """Scores of each cohort by a model of the others; those of the last are told by what was before it."""
    if len(known) == 1:
        return [_out_of_fold(algorithm, known[0], task)[0]]
    found = []
    for at, each in enumerate(known):
        others = [other for place, other in enumerate(known) if place != at]
        found.append(_scores(_model(algorithm, others, task), each))
    return found


def _out_of_fold(algorithm: str, sample: Sample, task: Task) -> tuple[Floats, list[tuple[Model, Integers]]]:
    scores, models = np.empty(sample.outcomes.size), []
    for learned, kept in folds_of(sample.outcomes, task.seed):
        model = _model(algorithm, [sample.at(learned)], task)
        scores[kept] = _scores(model, sample.at(kept))
        models.append((model, kept))
    return scores, models


def _model(algorithm: str, samples: Sequence[Sample], task: Task) -> Model:
    return MODELS[algorithm](learn_parts(algorithm, samples, task))


def _scores(model: Model, sample: Sample) -> Floats:
    return model.score(model.read(sample.values, 0, sample.outcomes.size))


def _scorer(algorithm: str, model: Model, link: dict[str, Any]) -> Scorer:
    return Scorer(algorithm, model.names, model, Link.of(link))
