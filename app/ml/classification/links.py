"""From the score of an algorithm to log odds that can be believed: the calibration, as plain numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import logit

from app.errors import ModelFormatUnknown
from app.ml.columns import Floats

Scale = Literal["log_odds", "share"]
Calibration = Literal["none", "platt", "isotonic"]
# exp(-12) is about 6e-6: fewer than one of all that a model learns from; nothing could tell it from less.
MOST_LOG_ODDS = 12.0
SURE = float(1.0 / (1.0 + np.exp(-MOST_LOG_ODDS)))


def log_odds(share: Floats) -> Floats:
    """Give the log odds of probabilities, those of the impossible and the certain within +-12.

    Parameters
    ----------
    share : ndarray of float64
        In 0..1.

    Returns
    -------
    ndarray of float64, of the same shape

    Examples
    --------
    >>> log_odds(np.array([0.0, 0.5])).round(3).tolist()
    [-12.0, 0.0]
    """
    return np.asarray(logit(np.clip(share, 1.0 - SURE, SURE)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Link:
    """Turns scores into log odds.

    Parameters
    ----------
    method : str
        "none": the score is believed; "platt": `slope` times score plus `intercept` are the log odds (Platt 1999);
        "isotonic": log odds between `knots`, rising nowhere against the score (Zadrozny and Elkan 2002).
    scale : str
        What the score is: "log_odds", or a "share" of trees in 0..1.
    slope, intercept : float
        Of "platt"; 1 and 0 otherwise.
    knots, levels : ndarray of float64, shape (k,)
        Scores and their log odds, both rising; of "isotonic".

    References
    ----------
    Platt, J. (1999). Probabilistic outputs for support vector machines. Advances in Large Margin Classifiers, 61-74.
    Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability estimates.
    Proceedings of KDD, 694-699.

    Examples
    --------
    >>> Link("platt", "log_odds", 2.0, 0.5, np.empty(0), np.empty(0)).log_odds(np.array([1.0])).tolist()
    [2.5]
    """

    method: Calibration
    scale: Scale
    slope: float
    intercept: float
    knots: Floats
    levels: Floats

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Link":
        """From the plain form."""
        if stored["method"] not in ("none", "platt", "isotonic"):
            raise ModelFormatUnknown(f"this version knows no calibration {stored['method']!r}")
        return cls(
            stored["method"],
            stored["scale"],
            stored["slope"],
            stored["intercept"],
            np.asarray(stored["knots"], dtype=np.float64),
            np.asarray(stored["levels"], dtype=np.float64),
        )

    def log_odds(self, scores: Floats) -> Floats:
        """The calibrated log odds of scores, within +-12."""
        if self.method == "isotonic":
            return np.asarray(np.interp(scores, self.knots, self.levels), dtype=np.float64)
        if self.method == "none" and self.scale == "share":
            return log_odds(scores)
        found: Floats = self.slope * scores
        found += self.intercept
        np.maximum(found, -MOST_LOG_ODDS, out=found)
        np.minimum(found, MOST_LOG_ODDS, out=found)
        return found


def plain(method: Calibration, scale: Scale, **parts: Any) -> dict[str, Any]:
    """Give the plain form of a link; what is not said is that of a score that is believed.

    Parameters
    ----------
    method, scale
        As of `Link`.
    **parts
        Its other fields.

    Returns
    -------
    dict

    Examples
    --------
    >>> plain("none", "share")["slope"]
    1.0
    """
    nothing = {"slope": 1.0, "intercept": 0.0, "knots": np.empty(0), "levels": np.empty(0)}
    return {"method": method, "scale": scale, **nothing, **parts}
