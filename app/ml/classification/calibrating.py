"""Chooses how scores become probabilities: as they are, or corrected, where that holds for customers not learned from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression  # type: ignore[attr-defined]  # public, but not in its __all__
from scipy.special import expit

from app.ml.classification.folds import folds_of
from app.ml.classification.links import Calibration, Link, Scale, log_odds, plain
from app.ml.columns import Floats

Flags = npt.NDArray[np.bool_]
# Niculescu-Mizil and Caruana (2005), figure 7: with fewer than about 1,000 cases isotonic regression overfits.
LEAST_FOR_ISOTONIC = 1_000
LEAST_OF_A_CLASS = 20
MOST_STEPS = 100
STEP_DONE = 1e-12


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The way that was chosen, and what it says about customers whom it was not learned from.

    Parameters
    ----------
    method : str
        As of `links.Link`.
    stored : dict
        The link, learned from everybody given, in plain form.
    probabilities : ndarray of float64, shape (n,)
        Of each fifth of the customers by the link learned from the other four.
    losses : dict of str to float
        Mean log loss by method, each of customers not learned from; lower is better.
    """

    method: Calibration
    stored: dict[str, Any]
    probabilities: Floats
    losses: dict[Calibration, float]


def calibrate(scores: Floats, outcomes: Flags, *, scale: Scale, seed: int) -> Calibrated:
    """Choose between no calibration, Platt's and isotonic regression by five-fold cross-validated log loss.

    A method is taken over a simpler one only if it is better by more than one standard error of the difference.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        Of customers whom the algorithm has not learned from.
    outcomes : ndarray of bool, shape (n,)
        What happened to them.
    scale : str
        What the scores are.
    seed : int
        Of the folds.

    Returns
    -------
    Calibrated
        ``"none"`` where a class has fewer than 20 customers; isotonic is tried from 1,000 customers on.

    References
    ----------
    Niculescu-Mizil, A. and Caruana, R. (2005). Predicting good probabilities with supervised learning. ICML, 625-632.
    """
    tried = {method: _crossed(scores, outcomes, method, scale, seed) for method in _methods(outcomes)}
    loss = {method: losses(found, outcomes) for method, found in tried.items()}
    chosen: Calibration = "none"
    for method in tried:
        gained = loss[chosen] - loss[method]
        if gained.mean() > gained.std() / np.sqrt(gained.size):
            chosen = method
    means = {method: float(each.mean()) for method, each in loss.items()}
    return Calibrated(chosen, learn_link(scores, outcomes, chosen, scale), tried[chosen], means)


def learn_link(scores: Floats, outcomes: Flags, method: Calibration, scale: Scale) -> dict[str, Any]:
    """Learn a calibration.

    Parameters
    ----------
    scores, outcomes, method, scale
        As for `calibrate`; what cannot be learned, because one class is missing or the score runs against the
        outcome, is "none".

    Returns
    -------
    dict
        A `links.Link` in plain form.

    Examples
    --------
    >>> scores, outcomes = np.repeat([-2.0, 2.0], 50), np.repeat([False, True], 50)
    >>> outcomes[[0, 1, 98, 99]] = True, True, False, False
    >>> link = learn_link(scores, outcomes, "platt", "log_odds")
    >>> round(float(expit(link["slope"] * 2.0 + link["intercept"])), 3)
    0.942
    """
    rate = float(np.clip(outcomes.mean(), 0.01, 0.99))
    believed = plain("none", scale, slope=1.0 if scale == "log_odds" else 1.0 / (rate * (1.0 - rate)))
    if method == "none" or outcomes.all() or not outcomes.any():
        return believed
    slope, intercept = _platt(scores, outcomes)
    if slope <= 0.0:
        return believed
    if method == "platt":
        return plain("platt", scale, slope=slope, intercept=intercept)
    knots, levels = _isotonic(scores, outcomes)
    return plain("isotonic", scale, slope=slope, knots=knots, levels=levels)


def losses(probabilities: Floats, outcomes: Flags) -> Floats:
    """Give the log loss of each customer.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n,)
        Strictly between 0 and 1.
    outcomes : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
        0 for who was surely told right.

    Examples
    --------
    >>> losses(np.array([0.5]), np.array([True])).round(4).tolist()
    [0.6931]
    """
    return np.asarray(-np.log(np.where(outcomes, probabilities, 1.0 - probabilities)), dtype=np.float64)


def _methods(outcomes: Flags) -> list[Calibration]:
    rarer = min(int(outcomes.sum()), int((~outcomes).sum()))
    if rarer < LEAST_OF_A_CLASS:
        return ["none"]
    return ["none", "platt", "isotonic"] if outcomes.size >= LEAST_FOR_ISOTONIC else ["none", "platt"]


def _crossed(scores: Floats, outcomes: Flags, method: Calibration, scale: Scale, seed: int) -> Floats:
    found = np.empty(scores.size)
    if method == "none":
        return np.asarray(expit(Link.of(plain("none", scale)).log_odds(scores)), dtype=np.float64)
    for learned, kept in folds_of(outcomes, seed):
        link = Link.of(learn_link(scores[learned], outcomes[learned], method, scale))
        found[kept] = expit(link.log_odds(scores[kept]))
    return found


def _platt(scores: Floats, outcomes: Flags) -> tuple[float, float]:
    """Newton's method for two coefficients; targets are drawn a little inwards, as Platt (1999) does."""
    positives, negatives = int(outcomes.sum()), int((~outcomes).sum())
    wanted = np.where(outcomes, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / spread, np.ones(scores.size)])
    found = np.array([0.0, float(log_odds(np.array([wanted.mean()]))[0])])
    for _ in range(MOST_STEPS):
        told = expit(found @ design)
        hessian = (design * (told * (1.0 - told))) @ design.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, design @ (wanted - told))
        # Far from the optimum a full step overshoots.
        found += step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if float(np.abs(step).max()) < STEP_DONE:
            break
    slope = float(found[0]) / spread
    return slope, float(found[1]) - slope * centre


def _isotonic(scores: Floats, outcomes: Flags) -> tuple[Floats, Floats]:
    """Blocks of equal rates, met at their middles: between two blocks log odds rise, they do not jump."""
    distinct, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    happened = np.bincount(inverse, weights=outcomes)
    fitted = isotonic_regression(happened / counts, weights=counts.astype(np.float64))
    first = np.asarray(fitted.blocks[:-1])
    sizes = np.add.reduceat(counts, first)
    middles = np.add.reduceat(distinct * counts, first) / sizes
    # Half a customer on both sides: a block of the surely lost is no certainty.
    rates = (np.add.reduceat(happened, first) + 0.5) / (sizes + 1.0)
    return middles, np.maximum.accumulate(log_odds(rates))
