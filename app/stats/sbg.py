"""The shifted-beta-geometric model: how long customers under contract stay, and what their coming renewals are worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, hyp2f1, psi

from app.stats.btyd.information import Convergence, curvature, estimates, why_not
from app.stats.btyd.maximising import Maximum, maximise
from app.stats.btyd.trigamma import trigamma
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level

Floats = npt.NDArray[np.float64]

NAMES = ("alpha", "beta")
_LOW, _HIGH = np.log(np.full(2, 1e-5)), np.log(np.full(2, 1e5))
_GUESSES = ((1.0, 1.0), (0.3, 3.0), (5.0, 20.0))


@dataclass(frozen=True, slots=True)
class SbgFit:
    """A fitted shifted-beta-geometric model: chances not to renew are Beta(alpha, beta) among customers.

    Parameters
    ----------
    parameters : dict of str to float
        alpha, beta, positive.
    log_covariance : ndarray of float64, shape (2, 2), or None
        Of their logarithms, from the observed information; None where nothing is determined.
    estimates : dict of str to Estimate
        With intervals, or the reason why there is none.
    log_likelihood : float
        Summed over customers.
    customers : int
        Behind it.
    convergence : Convergence
        How the search went.
    """

    parameters: dict[str, float]
    log_covariance: Floats | None
    estimates: dict[str, Estimate]
    log_likelihood: float
    customers: int
    convergence: Convergence


def fit_sbg(lost: Sequence[float] | Floats, alive: float, *, level: float = 0.95) -> SbgFit | Undetermined:
    r"""Fit renewals by maximum likelihood.

    .. math:: P(lost in t) = \frac{B(\alpha + 1, \beta + t - 1)}{B(\alpha, \beta)}, \qquad
        S(t) = \frac{B(\alpha, \beta + t)}{B(\alpha, \beta)}

    Parameters
    ----------
    lost : sequence of float, shape (periods,)
        How many of one cohort did not renew at the end of period 1, 2, ..., at least 0.
    alive : float
        How many are still there after the last of these, at least 0.
    level : float, default 0.95
        Of the intervals, in (0, 1).

    Returns
    -------
    SbgFit or Undetermined
        ``Undetermined("everyone_active")`` where nobody was lost, ``"too_few"`` with fewer than three customers or
        no period.

    Raises
    ------
    StatsError
        If a count is negative or not finite.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2007). How to project customer retention. Journal of Interactive Marketing
    21(1), 76-90, equations 5 to 7 and B3.

    Examples
    --------
    The "high end" customers of the paper:

    >>> found = fit_sbg([131, 126, 90, 60, 42, 34, 26], 491)
    >>> {name: round(value, 3) for name, value in found.parameters.items()}
    {'alpha': 0.668, 'beta': 3.806}
    """
    check_level(level)
    gone = np.asarray(lost, dtype=np.float64)
    if gone.ndim != 1 or not np.isfinite([*gone, alive]).all() or min([*gone, alive]) < 0:
        raise StatsError("customers lost by period and still there are finite and not negative")
    n = round(float(gone.sum() + alive))
    if not gone.size or n <= len(NAMES):
        return Undetermined("too_few", n)
    if not gone.any():
        return Undetermined("everyone_active", n)
    top, agreeing = _highest(_LogLikelihood(gone, float(alive)))
    known = curvature(top)
    reason = why_not(NAMES, top, known)
    return SbgFit(
        parameters=dict(zip(NAMES, np.exp(top.position).tolist(), strict=True)),
        log_covariance=known.covariance,
        estimates=estimates(NAMES, top, known, level=level, n=n),
        log_likelihood=top.value,
        customers=n,
        convergence=Convergence(
            converged=reason is None,
            reason=reason,
            iterations=top.iterations,
            starts=len(_GUESSES),
            agreeing_starts=agreeing,
            gradient_norm=float(np.abs(top.gradient[~top.at_bounds]).max(initial=0.0)) / n,
            at_bounds=tuple(name for name, bound in zip(NAMES, top.at_bounds, strict=True) if bound),
        ),
    )


def _highest(likelihood: "_LogLikelihood") -> tuple[Maximum, int]:
    tried = [maximise(likelihood, np.log(guess), _LOW, _HIGH) for guess in _GUESSES]
    top = max(tried, key=lambda each: each.value)
    return top, sum(each.value > top.value - 0.01 for each in tried)


@dataclass(frozen=True, slots=True)
class _LogLikelihood:
    lost: Floats
    alive: float

    def __call__(self, logs: Floats) -> tuple[float, Floats, Floats]:
        parameters = np.exp(logs)
        alpha, beta = parameters
        # Each customer adds ln B(alpha + i, beta + j) - ln B(alpha, beta): i = 1 who was lost, j periods renewed.
        periods = np.arange(self.lost.size, dtype=np.float64)
        i = np.append(np.ones_like(periods), [0.0, 0.0])
        j = np.append(periods, [float(self.lost.size), 0.0])
        w = np.append(self.lost, [self.alive, -(self.lost.sum() + self.alive)])
        one, other = alpha + i, beta + j
        both = one + other
        slope = np.array([w @ (psi(one) - psi(both)), w @ (psi(other) - psi(both))]) * parameters
        bend = np.diag([w @ trigamma(one), w @ trigamma(other)]) - w @ trigamma(both)
        return float(w @ betaln(one, other)), slope, bend * np.outer(parameters, parameters) + np.diag(slope)


def survival(alpha: float, beta: float, periods: npt.ArrayLike) -> Floats:
    """Give the share of a new cohort that is still there after so many periods.

    Parameters
    ----------
    alpha, beta : float
        Positive.
    periods : array_like of float64
        Renewals passed, at least 0.

    Returns
    -------
    ndarray of float64, shape of `periods`
        In [0, 1]; 1 at 0.

    References
    ----------
    Fader and Hardie (2007), equation 6.

    Examples
    --------
    >>> survival(0.668, 3.806, [0, 1, 7, 12]).round(3).tolist()
    [1.0, 0.851, 0.489, 0.378]
    """
    t = np.asarray(periods, dtype=np.float64)
    found: Floats = np.exp(betaln(alpha, beta + t) - betaln(alpha, beta))
    return found


def retention(alpha: float, beta: float, periods: npt.ArrayLike) -> Floats:
    """Give the share of those there in a period who renew at its end.

    Parameters
    ----------
    alpha, beta : float
        Positive.
    periods : array_like of float64
        1, 2, ...

    Returns
    -------
    ndarray of float64, shape of `periods`
        (beta + t - 1) / (alpha + beta + t - 1), in (0, 1). It rises with t without any customer changing: those who
        are quick to leave have left.

    References
    ----------
    Fader and Hardie (2007), equation 8.

    Examples
    --------
    >>> retention(0.704, 1.182, [1, 2, 12]).round(3).tolist()
    [0.627, 0.756, 0.945]
    """
    t = np.asarray(periods, dtype=np.float64)
    found: Floats = (beta + t - 1) / (alpha + beta + t - 1)
    return found


def discounted_lifetime(alpha: float, beta: float, discount_rate: float) -> float | Undetermined:
    r"""Expect the discounted number of payments of a new customer: at 0, 1, 2, ... as long as the contract lasts.

    :math:`\sum_t S(t) / (1 + d)^t = {}_2F_1(1, \beta; \alpha + \beta; 1 / (1 + d))`; times the margin of a period it is
    the lifetime value.

    Parameters
    ----------
    alpha, beta : float
        Positive.
    discount_rate : float
        d per period, at least 0.

    Returns
    -------
    float or Undetermined
        At least 1. ``Undetermined("singular")`` where d = 0 and alpha <= 1: the lifetime has no finite expectation.

    Raises
    ------
    StatsError
        If `discount_rate` is negative.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2010). Customer-base valuation in a contractual setting: the perils of ignoring
    heterogeneity. Marketing Science 29(1), 85-93, equation 4.

    Examples
    --------
    >>> round(discounted_lifetime(0.668, 3.806, 0.1), 2)
    5.92
    """
    return _discounted(alpha, beta, discount_rate)


def discounted_residual_lifetime(
    alpha: float, beta: float, renewals: float, discount_rate: float
) -> float | Undetermined:
    r"""Expect the discounted number of coming payments of a customer who has renewed so often, the next one now.

    About to be asked for renewal n = `renewals` + 1: :math:`\sum_{t \ge n} S(t) / S(n - 1) / (1 + d)^{t - n}`.

    Parameters
    ----------
    alpha, beta, discount_rate
        As in `discounted_lifetime`.
    renewals : float
        Renewals made so far, at least 0.

    Returns
    -------
    float or Undetermined
        At least 0; it grows with `renewals`. Undetermined as in `discounted_lifetime`.

    Raises
    ------
    StatsError
        If `renewals` or `discount_rate` is negative.

    References
    ----------
    Fader and Hardie (2010), equation 6.

    Examples
    --------
    >>> [round(discounted_residual_lifetime(0.668, 3.806, made, 0.1), 2) for made in (0, 4)]
    [5.41, 6.9]
    """
    if renewals < 0:
        raise StatsError(f"renewals are not negative, but these are {renewals}")
    stayed = beta + renewals
    whole = _discounted(alpha, stayed + 1, discount_rate)
    return whole if isinstance(whole, Undetermined) else stayed / (alpha + stayed) * whole


def _discounted(alpha: float, beta: float, discount_rate: float) -> float | Undetermined:
    if discount_rate < 0:
        raise StatsError(f"a discount rate is not negative, but this one is {discount_rate}")
    if discount_rate == 0:
        return (alpha + beta - 1) / (alpha - 1) if alpha > 1 else Undetermined("singular", 0)
    return float(hyp2f1(1.0, beta, alpha + beta, 1 / (1 + discount_rate)))
