"""Fits a buy-till-you-die family to histories: several starts, one maximum, and what is known of each parameter."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from app.stats.btyd.families import PARAMETERS, Family, LogLikelihood
from app.stats.btyd.histories import Histories
from app.stats.btyd.information import Convergence, curvature, estimates, why_not
from app.stats.btyd.maximising import Maximum, maximise
from app.stats.btyd.processes import PROCESSES
from app.stats.estimate import Estimate, Undetermined, check_level

Floats = npt.NDArray[np.float64]

STARTS = 3
# Shape parameters; those with a unit of time are bounded by the same multiples of the mean age.
_LOWEST, _HIGHEST = 1e-5, 1e5
_HAS_TIME = ("alpha", "beta")
# From more distinct histories than this, the starts are tried on about as many drawn at random.
_SAMPLE = 8_192
_COARSE = 1e-3
_AGREEMENT = 0.01
# With a smaller share expected to be gone, the model says that nobody leaves.
_NOBODY = 1e-3
# Multiples of the first guess: shapes of buying (r and alpha together), of dropping out, and how soon.
_GUESSES = ((0.3, 0.3, 0.3), (1.0, 1.0, 1.0), (1.0, 0.05, 3.0), (0.3, 3.0, 0.3), (3.0, 3.0, 3.0))


@dataclass(frozen=True, slots=True)
class BtydFit:
    """A fitted family.

    Parameters
    ----------
    family : Family
        Which.
    parameters : dict of str to float
        By name, positive, finite; alpha and beta in the unit of time of the histories. Usable for forecasts when not
        converged too: then they describe the limit that the data point to.
    log_covariance : ndarray of float64, shape (4, 4), or None
        Of the logarithms of the parameters, in the order of `PARAMETERS`, from the observed information; 0 in the
        rows and columns of those at a bound or not determined. None where no maximum was reached or nothing is.
    estimates : dict of str to Estimate
        The parameters with their intervals, or the reason why there is none.
    log_likelihood : float
        At the parameters, summed over customers.
    customers : int
        Behind it.
    convergence : Convergence
        How the search went.
    """

    family: Family
    parameters: dict[str, float]
    log_covariance: Floats | None
    estimates: dict[str, Estimate]
    log_likelihood: float
    customers: int
    convergence: Convergence


def fit(
    histories: Histories, family: Family, *, level: float = 0.95, starts: int = STARTS, seed: int = 0
) -> BtydFit | Undetermined:
    """Fit a family by maximum likelihood.

    Newton's method with exact derivatives, in the logarithms of the parameters, within bounds of 1e-5 and 1e5 (alpha
    and beta: times the mean age). More than 8,192 distinct histories are climbed from the best of the starts only,
    chosen on a sample of as many.

    Parameters
    ----------
    histories : Histories
        Whom to learn from.
    family : Family
        ``"bg_nbd"``, ``"mbg_nbd"`` or ``"pareto_nbd"``.
    level : float, default 0.95
        Of the intervals, in (0, 1).
    starts : int, default 3
        Points to climb from, at least 1. The first five are fixed, further ones drawn.
    seed : int, default 0
        For the sample and for drawn starts.

    Returns
    -------
    BtydFit or Undetermined
        ``Undetermined("too_few")`` with fewer customers than parameters, ``"no_repeat_purchases"`` where nobody
        bought twice. A family that the data drive to a limit (BG/NBD on a shop where nobody seems to leave) comes
        back with ``convergence.converged`` False, `at_bounds` and the reason.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1).

    References
    ----------
    As in the modules of the families.

    Examples
    --------
    >>> found = fit(Histories.of([2, 1, 0, 0, 4], [30.4, 1.7, 0, 0, 30], [38.9, 38.9, 38.9, 30, 31]), "bg_nbd")
    >>> round(found.log_likelihood, 2), found.estimates["r"].n, found.convergence.starts
    (-28.78, 5, 3)
    """
    check_level(level)
    names, n = PARAMETERS[family], histories.customers
    if not (histories.x * histories.weights).any():
        return Undetermined("no_repeat_purchases" if n else "too_few", n)
    if n < len(names):
        return Undetermined("too_few", n)
    low, high, points = _field(histories, family, starts, seed)
    tried = _tried(PROCESSES[family].log_likelihood(_sample(histories, seed)), points, low, high)
    best = max(tried, key=lambda each: each.value)
    top = maximise(PROCESSES[family].log_likelihood(histories), best.position, low, high)
    found = curvature(top)
    reason = why_not(names, top, found)
    if reason and not found.determined[2:].all() and _nobody_gone(histories, family, top):
        reason = f"no drop-out is found in these histories: everyone counts as still buying, and the data do not hold {' and '.join(names[2:])}"
    inside = top.gradient[~top.at_bounds]
    convergence = Convergence(
        converged=reason is None,
        reason=reason,
        iterations=top.iterations,
        starts=len(points),
        agreeing_starts=sum(each.value > best.value - _AGREEMENT for each in tried),
        gradient_norm=float(np.abs(inside).max(initial=0.0)) / n,
        at_bounds=tuple(name for name, bound in zip(names, top.at_bounds, strict=True) if bound),
    )
    return BtydFit(
        family=family,
        parameters=dict(zip(names, np.exp(top.position).tolist(), strict=True)),
        log_covariance=found.covariance,
        estimates=estimates(names, top, found, level=level, n=n),
        log_likelihood=top.value,
        customers=n,
        convergence=convergence,
    )


def _nobody_gone(histories: Histories, family: Family, top: Maximum) -> bool:
    log_odds = PROCESSES[family].log_odds_gone(np.exp(top.position), histories.x, histories.t_x, histories.T)
    return float(expit(log_odds) @ histories.weights) < _NOBODY * float(histories.weights.sum())


def _field(histories: Histories, family: Family, starts: int, seed: int) -> tuple[Floats, Floats, list[Floats]]:
    """The bounds and the points to start from, in log-parameters."""
    w = histories.weights
    age = float(w @ histories.T / w.sum())
    pace = float(w @ histories.x / (w @ histories.T))
    units = np.array([age if name in _HAS_TIME else 1.0 for name in PARAMETERS[family]])
    low, high = np.log(_LOWEST * units), np.log(_HIGHEST * units)
    drawn = np.exp(np.random.default_rng(seed).normal(size=(max(starts - len(_GUESSES), 0), 3)))
    guesses = [*_GUESSES, *map(tuple, drawn.tolist())][: max(starts, 1)]
    # Half of all gone after a few purchases, or after an age like theirs.
    stay = age if family == "pareto_nbd" else 3.0
    points = [np.log([buying, buying / pace, gone, gone * soon * stay]) for buying, gone, soon in guesses]
    return low, high, [np.clip(point, low, high) for point in points]


def _sample(histories: Histories, seed: int) -> Histories:
    """Histories drawn with chances proportional to their customers; those that many share are all in."""
    if histories.x.size <= _SAMPLE:
        return histories
    w = histories.weights
    chances = np.minimum(1.0, w * (_SAMPLE / w.sum()))
    rows = np.flatnonzero(np.random.default_rng(seed).random(w.size) < chances)
    return Histories(histories.x[rows], histories.t_x[rows], histories.T[rows], w[rows] / chances[rows])


def _tried(likelihood: LogLikelihood, points: list[Floats], low: Floats, high: Floats) -> list[Maximum]:
    return [maximise(likelihood, point, low, high, tolerance=_COARSE) for point in points]
