"""Pareto/NBD: customers leave at any moment, at rates that differ between them as their buying rates do."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, psi

from app.stats.btyd.families import LogLikelihood, Process
from app.stats.btyd.histories import Histories
from app.stats.btyd.leaving import Span, alike
from app.stats.btyd.trigamma import trigamma

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Rows looked at together: their nodes stay in the processor's cache.
_CHUNK = 1_024
# Customers few enough that parting them would cost more than nodes that some do not need.
_FEW = 64


def log_likelihood(histories: Histories) -> LogLikelihood:
    r"""Build the log-likelihood of histories as a function of log r, log alpha, log s, log beta.

    .. math:: L = \frac{\Gamma(r + x)}{\Gamma(r)} \alpha^r \beta^s \left[(\alpha + T)^{-(r + x)} (\beta + T)^{-s}
        + s \int_{t_x}^T (\alpha + \tau)^{-(r + x)} (\beta + \tau)^{-(s + 1)} d\tau\right]

    Parameters
    ----------
    histories : Histories
        At least one.

    Returns
    -------
    LogLikelihood
        Summed over all customers, with exact derivatives under the integral. Not finite where parameters overflow.

    References
    ----------
    Schmittlein, D. C., Morrison, D. G. and Colombo, R. (1987). Counting your customers: who are they and what will
    they do next? Management Science 33(1), 1-24.
    Fader, P. S. and Hardie, B. G. S. (2005). A note on deriving the Pareto/NBD model. Note 9, brucehardie.com,
    equation 15.

    Examples
    --------
    >>> value, _, _ = log_likelihood(Histories.of([2], [30.43], [38.86]))(np.log([0.553, 10.578, 0.606, 11.669]))
    >>> round(value, 4)
    -9.5543
    """
    columns = (histories.x, histories.t_x, histories.T, histories.weights)

    def evaluate(logs: Floats) -> tuple[float, Floats, Floats]:
        with np.errstate(all="ignore"):
            parameters = np.exp(logs)
            value, slope, bend = 0.0, np.zeros(4), np.zeros((4, 4))
            for rows in _chunks(parameters, *columns[:3]):
                parts = _of_chunk(parameters, *(column[rows] for column in columns))
                value, slope, bend = value + parts[0], slope + parts[1], bend + parts[2]
            slope = slope * parameters
            return value, slope, bend * np.outer(parameters, parameters) + np.diag(slope)

    return evaluate


def _chunks(parameters: Floats, x: Floats, start: Floats, end: Floats) -> Iterator[Integers]:
    for rows in alike(parameters, x, start, end):
        for first in range(0, rows.size, _CHUNK):
            yield rows[first : first + _CHUNK]


def _of_chunk(parameters: Floats, x: Floats, t_x: Floats, T: Floats, w: Floats) -> tuple[float, Floats, Floats]:
    r, alpha, s, beta = parameters
    k, n = r + x, w.sum()
    log_a, log_b, inv_a, inv_b = np.log(alpha + T), np.log(beta + T), 1 / (alpha + T), 1 / (beta + T)
    alive = -k * log_a - s * log_b
    span = Span.of(parameters, x, t_x, T)
    log_odds = np.log(s) + span.log_integral - alive
    value = w @ (gammaln(k) - gammaln(r) + alive + np.logaddexp(0.0, log_odds)) + n * (
        r * np.log(alpha) + s * np.log(beta)
    )
    gone = 1 / (1 + np.exp(-log_odds))
    w_alive, w_gone = w * (1 - gone), w * gone
    slopes_alive = np.stack([-log_a, -k * inv_a, -log_b, -s * inv_b])
    slopes_gone, bend = _gone(parameters, k, span, w_gone)
    apart = slopes_gone - slopes_alive
    bend += (apart * (w_gone * (1 - gone))) @ apart.T
    bend[0, 0] += w @ (trigamma(k) - trigamma(r))
    bend[[0, 1], [1, 0]] += n / alpha - w_alive @ inv_a
    bend[1, 1] += w_alive @ (k * inv_a**2) - n * r / alpha**2
    bend[[2, 3], [3, 2]] += n / beta - w_alive @ inv_b
    bend[3, 3] += s * (w_alive @ inv_b**2) - n * s / beta**2
    slope = slopes_alive @ w_alive + slopes_gone @ w_gone
    slope += [w @ (psi(k) - psi(r)) + n * np.log(alpha), n * r / alpha, n * np.log(beta), n * s / beta]
    return float(value), slope, bend


def _gone(parameters: Floats, k: Floats, span: Span, w: Floats) -> tuple[Floats, Floats]:
    """The slopes of log(s x integral), shape (4, n), and the weighted sum of its second derivatives, (4, 4)."""
    _, alpha, s, beta = parameters
    away_a, away_b = alpha + span.ages, beta + span.ages
    # The logarithm of the integrand falls by these, times r + x or s + 1.
    basis = (np.log(away_a), 1 / away_a, np.log(away_b), 1 / away_b)
    factors = (-np.ones_like(k), -k, -np.ones_like(k), np.full_like(k, -(s + 1)))
    shared = [span.shares * column for column in basis]
    means = [column.sum(axis=1) for column in shared]
    slopes = np.stack([factor * mean for factor, mean in zip(factors, means, strict=True)])
    slopes[2] += 1 / s
    bend, squares = np.zeros((4, 4)), np.zeros((4, k.size))
    for one in range(4):
        for other in range(one, 4):
            both = np.einsum("nj,nj->n", shared[one], basis[other])
            if one == other:
                squares[one] = both
            spread = (factors[one] * factors[other] * (both - means[one] * means[other])) @ w
            bend[one, other] = bend[other, one] = spread
    bend[[0, 1], [1, 0]] -= w @ means[1]
    bend[1, 1] += w @ (k * squares[1])
    bend[2, 2] -= w.sum() / s**2
    bend[[2, 3], [3, 2]] -= w @ means[3]
    bend[3, 3] += (s + 1) * (w @ squares[3])
    return slopes, bend


def log_odds_gone(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Say how likely customers have left by T, as log of odds: the two terms of the likelihood's bracket.

    Parameters
    ----------
    parameters : ndarray of float64, shape (4,) or (4, n)
        r, alpha, s, beta, for all customers or each one's.
    x, t_x, T : ndarray of float64, shape (n,)
        Histories.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [-inf, inf); -inf where t_x = T.

    References
    ----------
    Schmittlein, Morrison and Colombo (1987), equations 11 to 13.

    Examples
    --------
    >>> log_odds_gone(np.array([0.553, 10.578, 0.606, 11.669]), np.ones(1), np.ones(1), np.ones(1)).tolist()
    [-inf]
    """
    if parameters.ndim == 2 or x.size <= _FEW:
        return _log_odds_gone(parameters, x, t_x, T)
    found = np.empty(x.size)
    for rows in _chunks(parameters, x, t_x, T):
        found[rows] = _log_odds_gone(parameters, x[rows], t_x[rows], T[rows])
    return found


def _log_odds_gone(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    r, alpha, s, beta = parameters
    log_integral = Span.of(parameters, x, t_x, T).log_integral
    found: Floats = np.log(s) + log_integral + (r + x) * np.log(alpha + T) + s * np.log(beta + T)
    return found


def purchases_if_alive(parameters: Floats, t: float, x: Floats, T: Floats) -> Floats:
    r"""Expect the purchases in (T, T + t] of customers who are alive at T.

    :math:`\frac{r + x}{\alpha + T} \int_0^t (1 + u / (\beta + T))^{-s} du`, in closed form, at s = 1 too.

    Parameters
    ----------
    parameters, x, T
        As in `log_odds_gone`.
    t : float
        Horizon, at least 0, in the unit of T.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, (r + x) t / (alpha + T)].

    References
    ----------
    Fader and Hardie (2005). Note 9, equation 41.

    Examples
    --------
    >>> purchases_if_alive(np.array([0.5, 1.0, 1.0, 1.0]), 1.0, np.ones(1), np.zeros(1)).round(4).tolist()
    [1.0397]
    """
    r, alpha, s, beta = parameters
    whole = np.log1p(t / (beta + T))
    bent = (1 - s) * whole
    stretch = np.where(bent == 0, 1.0, np.expm1(bent) / np.where(bent == 0, 1.0, bent))
    found: Floats = (r + x) / (alpha + T) * (beta + T) * whole * stretch
    return found


def discounted_if_alive(parameters: Floats, t: float, discount_rate: float, x: Floats, T: Floats) -> Floats:
    """Expect the discounted purchases in (T, T + t] of customers who are alive at T.

    By Gauss-Legendre quadrature of the buying rate, in log(1 + u / (beta + T)).

    Parameters
    ----------
    parameters, t, x, T
        As in `purchases_if_alive`.
    discount_rate : float
        Continuous, per unit of time, at least 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). RFM and CLV. Journal of Marketing Research 42(4), 415-430,
    appendix (there without horizon).

    Examples
    --------
    >>> parameters = np.array([0.5, 1.0, 1.0, 1.0])
    >>> discounted_if_alive(parameters, 1.0, 0.0, np.ones(1), np.zeros(1)).round(4).tolist()
    [1.0397]
    """
    r, alpha, s, beta = parameters
    away = (beta + T)[:, None]
    whole = np.log1p(t / away)
    at = _NODES * whole
    rates = np.exp((1 - np.asarray(s)[..., None]) * at - discount_rate * away * np.expm1(at))
    found: Floats = (r + x) / (alpha + T) * (away * whole)[:, 0] * (rates @ _WEIGHTS)
    return found


def both_if_alive(parameters: Floats, t: float, discount_rate: float, x: Floats, T: Floats) -> tuple[Floats, Floats]:
    """Expect the purchases in (T, T + t] of customers who are alive at T, as they are and discounted.

    Parameters
    ----------
    parameters, t, discount_rate, x, T
        As in `discounted_if_alive`.

    Returns
    -------
    two ndarrays of float64, shape (n,)
        `purchases_if_alive` and `discounted_if_alive`.

    Examples
    --------
    >>> found = both_if_alive(np.array([0.5, 1.0, 1.0, 1.0]), 1.0, 0.0, np.ones(1), np.zeros(1))
    >>> [float(each[0].round(4)) for each in found]
    [1.0397, 1.0397]
    """
    bought = purchases_if_alive(parameters, t, x, T)
    return bought, discounted_if_alive(parameters, t, discount_rate, x, T) if discount_rate > 0 else bought


def silence_if_alive(parameters: Floats, t: float, x: Floats, T: Floats) -> Floats:
    """Give the probability that customers who are alive at T buy nothing in (T, T + t], staying or leaving in it.

    Parameters
    ----------
    parameters, t, x, T
        As in `purchases_if_alive`.

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1].

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2014). Deriving the conditional PMF of the Pareto/NBD model. Note 28,
    brucehardie.com, with x* = 0.

    Examples
    --------
    With alpha = beta = 1 the next event comes after Pareto(r + s) time and is a purchase with chance r / (r + s):

    >>> found = silence_if_alive(np.array([0.5, 1.0, 1.5, 1.0]), 1.0, np.zeros(1), np.zeros(1))
    >>> bool(abs(found[0] - (1 - 0.25 * (1 - 2.0**-2))) < 1e-14)
    True
    """
    r, alpha, s, beta = parameters
    found = np.empty(x.size)
    for rows in _chunks(parameters, x, T, T + t):
        k, now = r + x[rows], T[rows]
        span = Span.of(parameters, x[rows], now, now + t)
        stays = -k * np.log1p(t / (alpha + now)) - s * np.log1p(t / (beta + now))
        leaves = np.log(s) + span.log_integral + k * np.log(alpha + now) + s * np.log(beta + now)
        found[rows] = np.exp(np.logaddexp(stays, leaves))
    return np.minimum(found, 1.0)


def future_if_alive(parameters: Floats, t: float, x: Floats, T: Floats, rng: np.random.Generator) -> Floats:
    """Simulate the purchases in (T, T + t] of customers who are alive at T.

    Parameters
    ----------
    parameters, t, x, T
        As in `purchases_if_alive`.
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of float64, shape (n,)
        Whole numbers.

    Examples
    --------
    >>> future_if_alive(np.ones(4), 0.0, np.zeros(2), np.ones(2), np.random.default_rng(0)).tolist()
    [0.0, 0.0]
    """
    r, alpha, s, beta = parameters
    rates, leaving = rng.gamma(r + x) / (alpha + T), rng.gamma(s, size=x.size) / (beta + T)
    with np.errstate(divide="ignore", over="ignore"):
        stays = rng.standard_exponential(x.size) / leaving
    bought: Floats = rng.poisson(rates * np.minimum(stays, t)).astype(np.float64)
    return bought


PARETO_NBD = Process(
    log_likelihood=log_likelihood,
    log_odds_gone=log_odds_gone,
    purchases_if_alive=purchases_if_alive,
    discounted_if_alive=discounted_if_alive,
    both_if_alive=both_if_alive,
    silence_if_alive=silence_if_alive,
    future_if_alive=future_if_alive,
)
