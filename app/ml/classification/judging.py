"""What is said about predictions beside what then happened: figures with intervals, ready for JSON."""

from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.ml.columns import Floats
from app.stats.calibration import brier_score, calibration_line, expected_calibration_error, log_loss, reliability
from app.stats.discrimination import average_precision, lift, roc_auc
from app.stats.estimate import Estimate, Undetermined
from app.stats.fairness import gaps, group_rates

Flags = npt.NDArray[np.bool_]
TOP = 0.1
BINS = 10


def shown(found: Any) -> Any:
    """Give an estimate, or a record that holds some, as plain data.

    Parameters
    ----------
    found : Estimate, Undetermined, dataclass, sequence or plain value

    Returns
    -------
    dict, list or plain value
        Estimates as ``value, low, high, level, method, n, reason``, all of them always there.

    Examples
    --------
    >>> shown(Undetermined("one_class", 3))["reason"]
    'one_class'
    """
    if isinstance(found, Estimate):
        return asdict(found)
    if isinstance(found, Undetermined):
        nothing = dict.fromkeys(("value", "low", "high", "level", "method"))
        return {**nothing, "n": found.n, "reason": found.reason}
    if is_dataclass(found):
        return {each.name: shown(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, list | tuple):
        return [shown(each) for each in found]
    return found.item() if isinstance(found, np.generic) else found


def figures(probabilities: Floats, outcomes: Flags) -> dict[str, Any]:
    """Judge probabilities by what happened.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n,)
        Of customers not learned from.
    outcomes : ndarray of bool, shape (n,)

    Returns
    -------
    dict
        ``roc_auc, pr_auc, brier, log_loss, calibration_error, lift`` as estimates; lift of the highest tenth.
    """
    error = expected_calibration_error(probabilities, outcomes, bins=BINS)
    nothing = dict.fromkeys(("low", "high", "level", "reason"))
    return {
        "roc_auc": shown(roc_auc(probabilities, outcomes)),
        "pr_auc": shown(average_precision(probabilities, outcomes)),
        "brier": shown(brier_score(probabilities, outcomes)),
        "log_loss": shown(log_loss(probabilities, outcomes)),
        "calibration_error": {**nothing, "value": error, "method": "equal_size_bins", "n": int(outcomes.size)},
        "lift": shown(lift(probabilities, outcomes, share=TOP)),
    }


def calibration_of(probabilities: Floats, outcomes: Flags) -> dict[str, Any]:
    """Give the reliability table in tenths, and the line through it.

    Parameters
    ----------
    probabilities, outcomes
        As for `figures`.

    Returns
    -------
    dict
        ``bins`` and ``line``.
    """
    return {
        "bins": shown(reliability(probabilities, outcomes, bins=BINS)),
        "line": shown(calibration_line(probabilities, outcomes)),
    }


def fairness_of(groups: Sequence[str], probabilities: Floats, outcomes: Flags, *, threshold: float) -> dict[str, Any]:
    """Compare rates by group.

    Parameters
    ----------
    groups : sequence of str, length n
    probabilities, outcomes
        As for `figures`.
    threshold : float
        From this probability on a customer counts as selected.

    Returns
    -------
    dict
        ``threshold``, ``groups`` and ``gaps`` against the largest group.
    """
    rates = group_rates(groups, probabilities, outcomes, threshold=threshold)
    return {"threshold": threshold, "groups": shown(rates), "gaps": shown(gaps(rates))}
