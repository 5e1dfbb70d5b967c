"""Says which of several candidates ships: the simplest that chance alone may have kept from being the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.ml.classification.calibrating import losses
from app.ml.classification.contest import Trial
from app.ml.classification.request import CANDIDATES


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate stands.

    Parameters
    ----------
    trial : Trial
    difference : float
        Mean log loss of the choosing customers above that of the candidate with the lowest; 0 for that one.
    standard_error : float
        Of the difference, customer by customer.
    chosen : bool
    why : str
        In words.
    """

    trial: Trial
    difference: float
    standard_error: float
    chosen: bool
    why: str


def choose(trials: Sequence[Trial]) -> list[Standing]:
    """Choose by the one-standard-error rule.

    The candidate of lowest log loss is the mark. The simplest whose loss is above it by at most one standard error is
    chosen. Both predict the same customers, so that the error is that of the paired differences: most of what makes
    one customer harder to tell than another is common to all candidates, and says nothing of which is better.

    Parameters
    ----------
    trials : sequence of Trial
        On the same choosing customers, at least one. What happened in the test is not looked at.

    Returns
    -------
    list of Standing
        In the same order; one of them is chosen.

    References
    ----------
    Breiman, L., Friedman, J. H., Olshen, R. A. and Stone, C. J. (1984). Classification and Regression Trees, section
    3.4.3. Hastie, T., Tibshirani, R. and Friedman, J. (2009). The Elements of Statistical Learning, section 7.10.
    """
    best = min(trials, key=lambda each: each.loss)
    apart = {each.algorithm: _apart(each, best) for each in trials}
    near = [each for each in trials if apart[each.algorithm][0] <= apart[each.algorithm][1]]
    chosen = min(near, key=lambda each: CANDIDATES.index(each.algorithm))
    return [
        Standing(each, *apart[each.algorithm], each is chosen, _why(each, best, chosen, apart[each.algorithm]))
        for each in trials
    ]


def _apart(trial: Trial, best: Trial) -> tuple[float, float]:
    """Mean of the paired differences and its standard error."""
    each = losses(trial.choosing, trial.outcomes) - losses(best.choosing, best.outcomes)
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(each.size))


def _why(trial: Trial, best: Trial, chosen: Trial, apart: tuple[float, float]) -> str:
    said = f"log loss {trial.loss:.4f} on the choosing customers"
    if trial is best:
        rest = "the simplest within one standard error" if trial is chosen else _simpler(chosen)
        return f"{said}, the lowest; {rest}"
    said += f", {apart[0]:.4f} above the lowest ({best.algorithm})"
    if apart[0] > apart[1]:
        return f"{said}, more than one standard error of {apart[1]:.4f}"
    rest = "the simplest of these" if trial is chosen else _simpler(chosen)
    return f"{said}, within one standard error of {apart[1]:.4f}; {rest}"


def _simpler(chosen: Trial) -> str:
    return f"{chosen.algorithm} is within one standard error of the lowest, and simpler"
