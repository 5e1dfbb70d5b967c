"""What BG/NBD and MBG/NBD expect of a customer: after each purchase the last one was made with a chance of its own."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from app.stats.btyd.ages import over_ages
from app.stats.btyd.distinct import coded
from app.stats.btyd.dropout_quadrature import Dropout

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Values of an integrand held at once: they stay in the processor's cache.
_HELD = 1 << 16
# Customers few enough that each is worked out alone: finding out who are alike would cost more.
_FEW = 64


def log_odds_gone(parameters: Floats, x: Floats, t_x: Floats, T: Floats, *, offset: float) -> Floats:
    r"""Say how likely customers have dropped out, as log of odds.

    :math:`\log a - \log(b + x + offset - 1) + (r + x) \log((\alpha + T) / (\alpha + t_x))`; without offset (BG/NBD)
    -inf where x = 0: nobody drops out before a repeat purchase.

    Parameters
    ----------
    parameters : ndarray of float64, shape (4,) or (4, n)
        r, alpha, a, b, for all customers or each one's.
    x, t_x, T : ndarray of float64, shape (n,)
        Histories.
    offset : float
        0 for BG/NBD, 1 for MBG/NBD.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [-inf, inf), finite otherwise.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2008). Computing P(alive) using the BG/NBD model. Note 21, brucehardie.com.

    Examples
    --------
    >>> log_odds_gone(np.array([0.24, 4.4, 0.8, 2.4]), np.zeros(1), np.zeros(1), np.ones(1), offset=0.0).tolist()
    [-inf]
    """
    r, alpha, a, b = parameters
    chance = b + x + (offset - 1)
    may = chance > 0 if offset else x > 0
    with np.errstate(divide="ignore"):
        odds = np.log(a / np.where(may, chance, np.inf))
    found: Floats = odds + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    return found


def purchases_if_alive(parameters: Floats, t: float, x: Floats, T: Floats, *, offset: float) -> Floats:
    r"""Expect the purchases in (T, T + t] of customers who are alive at T.

    The mean over p ~ Beta(a, b + x + offset) of :math:`(1 - (1 + p t / (\alpha + T))^{-(r + x)}) / p`, what the
    hypergeometric function of the paper sums to; by quadrature it is as good at a = 1 and at x = 400.

    Parameters
    ----------
    parameters : ndarray of float64, shape (4,) or (4, n)
        r, alpha, a, b, for all customers or each one's.
    t : float
        Horizon, at least 0, in the unit of T.
    x, T : ndarray of float64, shape (n,)
        Repeat purchases and ages.
    offset : float
        0 for BG/NBD, 1 for MBG/NBD.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, (r + x) t / (alpha + T)].

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). Marketing Science 24(2), 275-284, equation 10 and appendix.

    Examples
    --------
    The worked example of "Implementing the BG/NBD model for customer base analysis in Excel", 1.226 = this x P(alive):

    >>> parameters = np.array([0.242593, 4.413532, 0.792921, 2.425895])
    >>> float(purchases_if_alive(parameters, 39.0, np.array([2.0]), np.array([38.86]), offset=0.0)[0].round(4))
    1.6872
    """
    return discounted_if_alive(parameters, t, 0.0, x, T, offset=offset)


def discounted_if_alive(  # a process, a horizon, a rate and a history are what there is
    parameters: Floats, t: float, discount_rate: float, x: Floats, T: Floats, *, offset: float
) -> Floats:
    r"""Expect the discounted purchases in (T, T + t] of customers who are alive at T.

    With E(s) the purchases expected by T + s, :math:`\int_0^t e^{-\delta s} dE(s) = e^{-\delta t} E(t) + \delta
    \int_0^t e^{-\delta s} E(s) ds`, the integral by Gauss-Legendre in log(1 + s / (alpha + T)).

    Parameters
    ----------
    parameters, t, x, T, offset
        As in `purchases_if_alive`.
    discount_rate : float
        Continuous, per unit of time, at least 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, at most `purchases_if_alive`.

    Examples
    --------
    >>> parameters = np.array([0.24, 4.4, 0.8, 2.4])
    >>> x, T = np.array([2.0]), np.array([38.0])
    >>> [float(discounted_if_alive(parameters, 52.0, rate, x, T, offset=0.0)[0].round(3)) for rate in (0.0, 0.002)]
    [2.173, 2.072]
    """
    r, alpha, a, b = parameters
    if not x.size or t == 0:
        return np.zeros(x.size)
    if parameters.ndim == 2 or x.size <= _FEW:
        return both_if_alive(parameters, t, discount_rate, x, T, offset=offset)[1]
    counts = coded(x)
    k = r + counts.values
    dropout = Dropout.of(a, b + counts.values + offset, scale=1 + (k + 1) * t / (alpha + T.min()))

    def at_age(place: Integers, age: Floats) -> Floats:
        found = np.empty(age.size)
        for part in _held(age.size, dropout, discount_rate):
            of = place[part]
            found[part] = _averaged(dropout.of_rows(of), k[of], age[part], t, discount_rate)[1]
        return found

    return np.maximum(over_ages(at_age, counts, T, alpha=alpha), 0.0)


def both_if_alive(  # as in discounted_if_alive
    parameters: Floats, t: float, discount_rate: float, x: Floats, T: Floats, *, offset: float
) -> tuple[Floats, Floats]:
    """Expect the purchases in (T, T + t] of a few customers who are alive at T, as they are and discounted.

    Parameters
    ----------
    parameters, t, discount_rate, x, T, offset
        As in `discounted_if_alive`.

    Returns
    -------
    two ndarrays of float64, shape (n,)
        `purchases_if_alive` and `discounted_if_alive`.

    Examples
    --------
    >>> parameters = np.array([0.24, 4.4, 0.8, 2.4])
    >>> found = both_if_alive(parameters, 52.0, 0.002, np.array([2.0]), np.array([38.0]), offset=0.0)
    >>> [float(each[0].round(3)) for each in found]
    [2.173, 2.072]
    """
    found = np.zeros((2, x.size))
    if not x.size or t == 0:
        return found[0], found[1]
    r, alpha, a, b = parameters
    k, age = r + x, alpha + T
    dropout = Dropout.of(a, b + x + offset, scale=1 + (k + 1) * t / age)
    for part in _held(x.size, dropout, discount_rate):
        found[:, part] = _averaged(dropout.of_rows(part), k[part], age[part], t, discount_rate)
    np.maximum(found, 0.0, out=found)
    return found[0], found[1]


def _held(size: int, dropout: Dropout, discount_rate: float) -> Iterator[slice]:
    rows = max(1, _HELD // (dropout.p.shape[1] * (1 + (discount_rate > 0) * _NODES.size)))
    return (slice(start, start + rows) for start in range(0, size, rows))


def _averaged(nodes: Dropout, k: Floats, age: Floats, t: float, discount_rate: float) -> tuple[Floats, Floats]:
    """The mean over p of the purchases given p, as they are and discounted."""
    z, shares = _steps(age, t, discount_rate)
    falls = nodes.p[:, None, :] * z[:, :, None]
    np.log1p(falls, out=falls)
    falls *= -k[:, None, None]
    np.expm1(falls, out=falls)
    k = k[:, None]
    until = nodes.at_zero[:, None] * k * z - nodes.at_one[:, None] * np.expm1(-k * np.log1p(z))
    until -= np.einsum("msn,mn->ms", falls, nodes.per_p)
    return until[:, -1], np.einsum("ms,ms->m", until, shares)


def _steps(age: Floats, t: float, discount_rate: float) -> tuple[Floats, Floats]:
    """How far, as a share of the age, to look ahead, the whole way last, and what the purchases until then count for."""
    whole = t / age[:, None]
    last = np.full_like(whole, np.exp(-discount_rate * t))
    if not discount_rate > 0:
        return whole, last
    log_whole = np.log1p(whole)
    z = np.expm1(_NODES * log_whole)
    # ds = (alpha + T + s) d log(1 + s / (alpha + T))
    gone = discount_rate * age[:, None]
    shares = _WEIGHTS * log_whole * gone * (1 + z) * np.exp(-gone * z)
    return np.concatenate([z, whole], axis=1), np.concatenate([shares, last], axis=1)


def silence_if_alive(parameters: Floats, t: float, x: Floats, T: Floats) -> Floats:
    r"""Give the probability that customers who are alive at T buy nothing in (T, T + t].

    They can drop out only by buying, so it is that of the buying process alone:
    :math:`((\alpha + T) / (\alpha + T + t))^{r + x}`.

    Parameters
    ----------
    parameters, t, x, T
        As in `purchases_if_alive`.

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1].

    Examples
    --------
    >>> silence_if_alive(np.array([0.5, 4.0, 0.8, 2.4]), 12.0, np.zeros(1), np.zeros(1)).tolist()
    [0.5]
    """
    r, alpha, _, _ = parameters
    found: Floats = np.exp(-(r + x) * np.log1p(t / (alpha + T)))
    return found


def future_if_alive(  # as in discounted_if_alive
    parameters: Floats, t: float, x: Floats, T: Floats, rng: np.random.Generator, *, offset: float
) -> Floats:
    """Simulate the purchases in (T, T + t] of customers who are alive at T.

    Parameters
    ----------
    parameters, t, x, T, offset
        As in `purchases_if_alive`.
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of float64, shape (n,)
        Whole numbers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> future_if_alive(np.array([0.2, 4.4, 0.8, 2.4]), 0.0, np.zeros(2), np.ones(2), rng, offset=0.0).tolist()
    [0.0, 0.0]
    """
    r, alpha, a, b = parameters
    rates = rng.gamma(r + x) / (alpha + T)
    chances = rng.beta(a, b + x + offset)
    found: Floats = np.minimum(rng.poisson(rates * t), last_purchase(chances, rng))
    return found


def last_purchase(chances: Floats, rng: np.random.Generator) -> Floats:
    """Draw after which of the coming purchases customers drop out.

    Parameters
    ----------
    chances : ndarray of float64, shape (n,)
        Probability to drop out after each purchase, in [0, 1].
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of float64, shape (n,)
        1, 2, ...; inf where the chance is 0.

    Examples
    --------
    >>> last_purchase(np.array([1.0, 0.0]), np.random.default_rng(0)).tolist()
    [1.0, inf]
    """
    # By inversion: counts beyond any integer type are as good as never.
    with np.errstate(divide="ignore", over="ignore"):
        found: Floats = 1 + np.floor(-rng.standard_exponential(chances.size) / np.log1p(-chances))
    return found
