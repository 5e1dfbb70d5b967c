"""Logistic regression of a few columns without a penalty: what a calibration line and its intervals are made from."""

import numpy as np
from scipy.special import expit, ndtri

from app.stats.estimate import Estimate, StatsError, Undetermined, check_level
from app.stats.scored import Floats

ITERATIONS = 50
NEGLIGIBLE = 1e-9
# A coefficient beyond this, on the scale of log odds, is on its way to infinity: the classes are parted by a line.
CERTAIN = 40.0
SINGULAR = 1e12


def coefficients(
    design: Floats, offset: Floats, happened: Floats, *, level: float = 0.95
) -> list[Estimate | Undetermined]:
    r"""Fit log odds(outcome) = offset + design x coefficients by maximum likelihood.

    Newton's method with bounded steps; normal intervals from the observed information.

    Parameters
    ----------
    design : ndarray of float64, shape (n, k)
        The columns, a constant one among them where an intercept is wanted. Few.
    offset : ndarray of float64, shape (n,)
        A part of the log odds that is held.
    happened : ndarray of float64, shape (n,)
        0.0 or 1.0.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    list of Estimate or Undetermined, length k
        ``method="wald"``. All ``Undetermined("not_converged", n)`` where the likelihood has no maximum (the classes are
        parted without an error, or columns say the same).

    Raises
    ------
    StatsError
        If the arrays differ in length or `level` is outside (0, 1).

    References
    ----------
    Cox, D. R. (1958). The regression analysis of binary sequences. Journal of the Royal Statistical Society B 20,
    215-242.
    Albert, A. and Anderson, J. A. (1984). On the existence of maximum likelihood estimates in logistic regression
    models. Biometrika 71, 1-10 (where there is none).

    Examples
    --------
    A rate of one in four has the log odds -log(3), with standard error sqrt(1 / 1 + 1 / 3):

    >>> constant = coefficients(np.ones((4, 1)), np.zeros(4), np.array([1.0, 0.0, 0.0, 0.0]))[0]
    >>> round(constant.value, 4), round(constant.high - constant.value, 4)
    (-1.0986, 2.2632)
    """
    check_level(level)
    n, width = design.shape
    if offset.shape != (n,) or happened.shape != (n,):
        raise StatsError("design, offset and outcomes are of the same customers")
    found = _newton(design, offset, happened)
    if found is None:
        return [Undetermined("not_converged", n)] * width
    values, covariance = found
    halves = float(ndtri((1 + level) / 2)) * np.sqrt(np.diag(covariance))
    return [
        Estimate(float(value), float(value - half), float(value + half), level, "wald", n)
        for value, half in zip(values, halves, strict=True)
    ]


def _newton(design: Floats, offset: Floats, happened: Floats) -> tuple[Floats, Floats] | None:
    values = np.zeros(design.shape[1])
    for _ in range(ITERATIONS):
        fitted = expit(offset + design @ values)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        if not np.linalg.cond(information) < SINGULAR:
            return None
        step = np.linalg.solve(information, design.T @ (happened - fitted))
        largest = float(np.abs(step).max())
        # A step too far overshoots where the likelihood is flat; a bounded one gets there a little later.
        values = values + step * min(1.0, 2.0 / max(largest, NEGLIGIBLE))
        if np.abs(values).max() > CERTAIN:
            return None
        if largest < NEGLIGIBLE:
            return values, np.linalg.inv(information)
    return None
