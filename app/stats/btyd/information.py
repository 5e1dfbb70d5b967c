"""From the curvature at a maximum to standard errors, for the parameters that the data determine and no others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from app.stats.btyd.maximising import Maximum
from app.stats.estimate import Estimate, Reason

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

METHOD = "wald_log"
# A parameter known to no better than a factor of exp(1.96 x 5) = 18,000 either way is not known.
_LARGEST_ERROR = 5.0


@dataclass(frozen=True, slots=True)
class Convergence:
    """How the search for the maximum went.

    Parameters
    ----------
    converged : bool
        Whether a maximum inside the bounds was reached that determines every parameter.
    reason : str or None
        In plain words why not; None exactly when converged.
    iterations : int
        Evaluations of the likelihood on all customers.
    starts, agreeing_starts : int
        Where the search began, and from how many of these it climbed to the best height (within 0.01).
    gradient_norm : float
        Largest slope of the log-likelihood per customer in a log-parameter that is not at its bound.
    at_bounds : tuple of str
        Parameters that ran to a bound: the maximum lies beyond, often at infinity.
    """

    converged: bool
    reason: str | None
    iterations: int
    starts: int
    agreeing_starts: int
    gradient_norm: float
    at_bounds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curvature:
    """The covariance of the log-parameters, and which of them the data determine.

    Parameters
    ----------
    covariance : ndarray of float64, shape (k, k), or None
        Inverse of the observed information of those determined; rows and columns of the others are 0: what it says
        holds with these where they are. None where none is determined.
    determined : ndarray of bool, shape (k,)
        False for parameters at a bound or along which the likelihood is flat.
    """

    covariance: Floats | None
    determined: Bools


def curvature(maximum: Maximum) -> Curvature:
    """Invert the observed information at a maximum, leaving out what it does not hold.

    Parameters
    ----------
    maximum : Maximum
        In log-parameters.

    Returns
    -------
    Curvature
        Parameters at bounds are left out, then, one by one, the one that bears most on the flattest axis while the
        standard error along that exceeds 5 (a factor of 18,000 in the parameter).

    References
    ----------
    Efron, B. and Hinkley, D. V. (1978). Assessing the accuracy of the maximum likelihood estimator: observed versus
    expected Fisher information. Biometrika 65(3), 457-483.

    Examples
    --------
    >>> flat = Maximum(np.zeros(2), 0.0, np.zeros(2), np.diag([-4.0, 0.0]), 1, True, np.zeros(2, dtype=bool))
    >>> found = curvature(flat)
    >>> found.covariance.tolist(), found.determined.tolist()
    ([[0.25, 0.0], [0.0, 0.0]], [True, False])
    """
    determined = ~maximum.at_bounds
    while maximum.settled and determined.any():
        block = np.ix_(determined, determined)
        sizes, axes = np.linalg.eigh(-maximum.hessian[block])
        if sizes[0] * _LARGEST_ERROR**2 >= 1:
            covariance = np.zeros_like(maximum.hessian)
            covariance[block] = (axes / sizes) @ axes.T
            return Curvature(covariance, determined)
        determined[np.flatnonzero(determined)[np.abs(axes[:, 0]).argmax()]] = False
    return Curvature(None, np.zeros_like(determined))


def estimates(names: Sequence[str], maximum: Maximum, found: Curvature, *, level: float, n: int) -> dict[str, Estimate]:
    """Give each parameter its interval, or the reason why it has none.

    Parameters
    ----------
    names : sequence of str
        Of the parameters, in order.
    maximum, found
        In log-parameters.
    level : float
        Confidence level, in (0, 1).
    n : int
        Customers behind it.

    Returns
    -------
    dict of str to Estimate
        ``method="wald_log"``: exp(log value +- z standard errors). Without interval: ``"not_converged"`` where no
        maximum was reached or the parameter is at its bound, ``"singular"`` where the likelihood is flat along it.

    Examples
    --------
    >>> top = Maximum(np.zeros(1), 0.0, np.zeros(1), -4 * np.eye(1), 1, True, np.zeros(1, dtype=bool))
    >>> one = estimates(["r"], top, curvature(top), level=0.95, n=100)["r"]
    >>> one.value, round(one.low, 3), round(one.high, 3)
    (1.0, 0.375, 2.664)
    """
    z = float(ndtri((1 + level) / 2))
    every: dict[str, Estimate] = {}
    for place, name in enumerate(names):
        at = float(maximum.position[place])
        if found.covariance is not None and found.determined[place]:
            half = z * float(np.sqrt(found.covariance[place, place]))
            low, high = float(np.exp(at - half)), float(np.exp(at + half))
            every[name] = Estimate(float(np.exp(at)), low, high, level, METHOD, n)
        else:
            stopped = not maximum.settled or bool(maximum.at_bounds[place])
            reason: Reason = "not_converged" if stopped else "singular"
            every[name] = Estimate(float(np.exp(at)), None, None, level, METHOD, n, reason)
    return every


# What it means that a parameter runs away, by its name and the end it runs to.
_MEANINGS: Mapping[tuple[str, str], str] = {
    ("a", "lower"): "no drop-out is found, everyone counts as still buying",
    ("s", "lower"): "no drop-out is found, everyone counts as still buying",
    ("b", "upper"): "no drop-out is found, or customers do not differ in their chance to drop out",
    ("a", "upper"): "customers do not differ in their chance to drop out, or all drop out at once",
    ("s", "upper"): "customers do not differ in their rate of leaving",
    ("beta", "upper"): "no drop-out is found, or customers do not differ in their rate of leaving",
    ("b", "lower"): "customers either never drop out or do at once",
    ("beta", "lower"): "customers either never leave or do at once",
    ("r", "upper"): "customers do not differ in how often they buy",
    ("alpha", "upper"): "customers do not differ in how often they buy",
    ("r", "lower"): "nearly all purchases are made by very few",
    ("p", "upper"): "a customer's purchases hardly differ in value",
    ("q", "upper"): "customers do not differ in what they spend",
    ("v", "upper"): "customers do not differ in what they spend",
}


def why_not(names: Sequence[str], maximum: Maximum, found: Curvature) -> str | None:
    """Say in plain words why a fit is not one, or None where it is.

    Parameters
    ----------
    names, maximum, found
        As in `estimates`.

    Returns
    -------
    str or None
        One sentence without its full stop.

    Examples
    --------
    >>> fled = Maximum(np.array([-11.0]), 0.0, np.zeros(1), np.zeros((1, 1)), 9, True, np.ones(1, dtype=bool))
    >>> why_not(["a"], fled, curvature(fled))
    'a runs to its lower bound: no drop-out is found, everyone counts as still buying'
    """
    if not maximum.settled:
        return f"no maximum of the likelihood was reached in {maximum.iterations} steps"
    for place in np.flatnonzero(maximum.at_bounds).tolist():
        end = "lower" if maximum.gradient[place] <= 0 else "upper"
        meaning = _MEANINGS.get((names[place], end), "the data do not hold it")
        return f"{names[place]} runs to its {end} bound: {meaning}"
    flat = [name for name, known in zip(names, found.determined, strict=True) if not known]
    return f"the likelihood is flat along {', '.join(flat)}: these customers do not determine it" if flat else None
