"""How far a forecast may be off: because the parameters are estimates, and because customers are free to differ."""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from app.stats.btyd.families import in_order
from app.stats.btyd.fitting import BtydFit
from app.stats.btyd.forecasting import discounted_by_parameters, discounted_expected_purchases, p_alive
from app.stats.btyd.gamma_gamma import GammaGammaFit, expected_value
from app.stats.btyd.histories import Histories
from app.stats.btyd.processes import PROCESSES
from app.stats.btyd.varying import FARTHEST, Fitted, Parameters, moves, pairs, parameter_draws
from app.stats.estimate import Estimate, Reason, StatsError, check_level

Floats = npt.NDArray[np.float64]

__all__ = ["CustomerValues", "Customers", "customer_value", "parameter_draws", "total_purchases", "total_value"]

DRAWS = 4_000
METHOD = "parametric_draws"
# As many simulated customers give the standard deviation of a total to about 1 %.
_SIMULATED = 20_000


@dataclass(frozen=True, slots=True)
class Customers:
    """Customers, one place each (or `weights` in one place), with what their purchases were worth.

    Parameters
    ----------
    x, t_x, T : ndarray of float64, shape (n,)
        As in `Histories`.
    valued : ndarray of float64, shape (n,)
        Purchases that `mean_value` is over, at least 0; usually x.
    mean_value : ndarray of float64, shape (n,)
        In the unit of the Gamma-Gamma fit; not looked at where `valued` is 0.
    weights : ndarray of float64, shape (n,), or None
        Customers per place; None for one each.
    """

    x: Floats
    t_x: Floats
    T: Floats
    valued: Floats
    mean_value: Floats
    weights: Floats | None = None


class CustomerValues(NamedTuple):
    """Expected discounted value of each customer, shape (n,), with the ends of its interval or None without one."""

    values: Floats
    low: Floats | None
    high: Floats | None


def total_purchases(
    fit: BtydFit, histories: Histories, t: float, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Forecast all purchases of all customers in (T, T + t].

    Each draw of parameters gives an expected total (its logarithm a parabola along each principal axis of their
    covariance); around it lies a negative binomial count whose variance is that of simulated customers: known
    histories, unknown rates, unknown fate.

    Parameters
    ----------
    fit : BtydFit
        Of these or other customers.
    histories : Histories
        Whose purchases to forecast.
    t : float
        Horizon, at least 0, in the unit of the fit.
    level : float, default 0.95
        Of the interval, in (0, 1).
    draws : int, default 4000
        Of parameters, at least 1.
    seed : int, default 0
        For draws and simulation.

    Returns
    -------
    Estimate
        The expected total with an interval for the total that will be seen, ``method="parametric_draws"``. It holds
        if the model does: a season or a campaign is in no parameter. Without interval, ``reason="not_converged"`` or
        ``"singular"``, where the fit has no covariance.

    Raises
    ------
    StatsError
        If `t` is negative, `level` outside (0, 1) or `draws` less than 1.

    References
    ----------
    Lawless, J. F. and Fredette, M. (2005). Frequentist prediction intervals and predictive distributions. Biometrika
    92(3), 529-542, section 2 (plug-in and its repair).

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> some = Histories.of([2, 1, 0, 0, 4], [30.4, 1.7, 0, 0, 30], [38.9, 38.9, 38.9, 30, 31])
    >>> total = total_purchases(fit(some, "bg_nbd"), some, 10.0)
    >>> total.method, total.n
    ('parametric_draws', 5)
    """
    check_level(level)
    if draws < 1:
        raise StatsError(f"there is at least one draw, not {draws}")
    x, t_x, T, w = histories.x, histories.t_x, histories.T, histories.weights

    def expected(parameters: Parameters) -> Floats:
        return discounted_expected_purchases(fit.family, parameters, t, 0.0, x, t_x, T)

    each = expected(fit.parameters)
    value = float(w @ each)
    if fit.log_covariance is None or value <= 0:
        return _without_interval(value, [fit], level=level, n=histories.customers)
    rng = np.random.default_rng(seed)
    factors = np.exp(moves(fit, lambda parameters: float(w @ expected(parameters)), draws, rng))
    places, inverse = _drawn(w, each, rng)
    bought = _bought(fit, t, Histories(x[places], t_x[places], T[places], w[places]), rng)
    dispersion = float(np.mean(inverse * (bought - each[places]) ** 2)) / value
    means = value * factors
    # A count spread no wider than Poisson's is as good as one.
    spread = max(dispersion, 1 + 1e-6)
    totals = rng.negative_binomial(means / (spread - 1), 1 / spread)
    return _between(value, totals.astype(np.float64), level=level, n=histories.customers)


def total_value(
    fit: BtydFit,
    gamma_gamma_fit: GammaGammaFit,
    *,
    customers: Customers,
    t: float,
    discount_rate: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Forecast the (discounted) value of all purchases of all customers in (T, T + t].

    As `total_purchases`, around a gamma variable, with the purchases of simulated customers valued by the
    Gamma-Gamma model given what each spent before.

    Parameters
    ----------
    fit : BtydFit
        Of purchases.
    gamma_gamma_fit : GammaGammaFit
        Of their value.
    customers : Customers
        Whose purchases to forecast.
    t : float
        Horizon, at least 0, in the unit of the fit.
    discount_rate : float, default 0
        Continuous, per unit of time, at least 0.
    level : float, default 0.95
        Of the interval, in (0, 1).

    Returns
    -------
    Estimate
        The expected total, in the unit of the values, with an interval for the total that will be seen,
        ``method="parametric_draws"``. Without interval where one of the fits has no covariance.

    Raises
    ------
    StatsError
        If `t` or `discount_rate` is negative or `level` outside (0, 1).

    References
    ----------
    As `total_purchases`; Fader, P. S. and Hardie, B. G. S. (2013). Note 25, brucehardie.com, equation 3.

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> from app.stats.btyd.gamma_gamma import fit_gamma_gamma
    >>> x, t_x, T = np.array([[2, 1, 0, 0, 4], [30.4, 1.7, 0, 0, 30], [38.9, 38.9, 38.9, 30, 31]])
    >>> spent = np.array([22.4, 11.8, 0.0, 0.0, 73.7])
    >>> found = total_value(
    ...     fit(Histories.of(x, t_x, T), "bg_nbd"),
    ...     fit_gamma_gamma([2, 1, 4, 3], [22.4, 11.8, 73.7, 30.0]),
    ...     customers=Customers(x, t_x, T, x, spent),
    ...     t=10.0,
    ... )
    >>> found.method, found.value > 0
    ('parametric_draws', True)
    """
    check_level(level)
    w = np.ones(customers.x.size) if customers.weights is None else customers.weights
    n, valued, spent = round(float(w.sum())), customers.valued, customers.mean_value
    bought = _expected(fit, fit.parameters, customers, t, 0.0)
    discounted = bought if discount_rate == 0 else _expected(fit, fit.parameters, customers, t, discount_rate)
    worth = expected_value(gamma_gamma_fit.parameters, valued, spent)
    each = discounted * worth
    value = float(w @ each)
    if fit.log_covariance is None or gamma_gamma_fit.log_covariance is None or value <= 0:
        return _without_interval(value, [fit, gamma_gamma_fit], level=level, n=n)
    rng = np.random.default_rng(0)
    away = moves(fit, lambda given: float(w @ (_expected(fit, given, customers, t, discount_rate) * worth)), DRAWS, rng)
    weighted = w * discounted
    away += moves(gamma_gamma_fit, lambda given: float(weighted @ expected_value(given, valued, spent)), DRAWS, rng)
    places, inverse = _drawn(w, bought, rng)
    chosen = Histories(customers.x[places], customers.t_x[places], customers.T[places], w[places])
    paid = _paid(gamma_gamma_fit.parameters, _bought(fit, t, chosen, rng), valued[places], spent[places], rng)
    paid *= discounted[places] / bought[places]
    variance = float(np.mean(inverse * (paid - each[places]) ** 2))
    means = value * np.exp(away)
    # The spread grows as the mean does: as many customers, each worth more.
    shape = value**2 / max(variance, np.finfo(np.float64).tiny)
    return _between(value, means * rng.gamma(shape, 1 / shape, DRAWS), level=level, n=n)


def customer_value(
    fit: BtydFit,
    gamma_gamma_fit: GammaGammaFit,
    *,
    customers: Customers,
    t: float,
    discount_rate: float = 0.0,
    level: float = 0.95,
) -> CustomerValues:
    """Expect the (discounted) value of each customer's purchases in (T, T + t], and say how sure that expectation is.

    Parameters
    ----------
    fit, gamma_gamma_fit, customers, t, discount_rate, level
        As in `total_value`; `weights` are not looked at.

    Returns
    -------
    CustomerValues
        `values`, at least 0, finite, in the unit of the fit, and the interval of that expectation from the
        uncertainty of the parameters (delta method for its logarithm, both fits independent). What one customer will
        really spend varies far more. `low` and `high` are None where one of the fits has no covariance.

    Raises
    ------
    StatsError
        If `t` or `discount_rate` is negative or `level` outside (0, 1).

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). RFM and CLV. Journal of Marketing Research 42(4), 415-430.
    Oehlert, G. W. (1992). A note on the delta method. The American Statistician 46(1), 27-29.

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> from app.stats.btyd.gamma_gamma import fit_gamma_gamma
    >>> x, t_x, T = np.array([[2, 1, 0, 0, 4], [30.4, 1.7, 0, 0, 30], [38.9, 38.9, 38.9, 30, 31]])
    >>> spent = np.array([22.4, 11.8, 0.0, 0.0, 73.7])
    >>> values, low, high = customer_value(
    ...     fit(Histories.of(x, t_x, T), "bg_nbd"),
    ...     fit_gamma_gamma([2, 1, 4, 3], [22.4, 11.8, 73.7, 30.0]),
    ...     customers=Customers(x, t_x, T, x, spent),
    ...     t=10.0,
    ... )
    >>> bool((low <= values).all() and (values <= high).all())
    True
    """
    check_level(level)
    worth = expected_value(gamma_gamma_fit.parameters, customers.valued, customers.mean_value)
    several = [fit.parameters, *chain.from_iterable(pairs(fit))]
    history = (customers.x, customers.t_x, customers.T)
    expected = discounted_by_parameters(fit.family, several, t, discount_rate, *history)
    values = next(expected) * worth
    if fit.log_covariance is None or gamma_gamma_fit.log_covariance is None:
        return CustomerValues(values, None, None)
    variance = np.zeros_like(values)
    for above, below in zip(expected, expected, strict=True):
        variance += _half_difference_of_logs(above, below) ** 2
    for up, down in pairs(gamma_gamma_fit):
        ends = (expected_value(end, customers.valued, customers.mean_value) for end in (up, down))
        variance += _half_difference_of_logs(*ends) ** 2
    factor = np.exp(float(ndtri((1 + level) / 2)) * np.sqrt(variance))
    return CustomerValues(values, values / factor, np.minimum(values * factor, np.finfo(np.float64).max))


def _expected(fit: BtydFit, parameters: Parameters, customers: Customers, t: float, discount_rate: float) -> Floats:
    x, t_x, T = customers.x, customers.t_x, customers.T
    return discounted_expected_purchases(fit.family, parameters, t, discount_rate, x, t_x, T)


def _half_difference_of_logs(up: Floats, down: Floats) -> Floats:
    # Where nothing is expected at either end, nothing is uncertain.
    tiny = np.finfo(np.float64).tiny
    found: Floats = np.log(np.maximum(up, tiny) / np.maximum(down, tiny)) / 2
    return np.minimum(np.maximum(found, -FARTHEST), FARTHEST)


def _drawn(weights: Floats, each: Floats, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """Draw places to simulate, more often where more is expected, and what each then stands for."""
    size = weights * each * (1 + each)
    chances = size / size.sum()
    places = rng.choice(size.size, _SIMULATED, p=chances).astype(np.int64)
    return places, weights[places] / chances[places]


def _bought(fit: BtydFit, t: float, given: Histories, rng: np.random.Generator) -> Floats:
    alive = rng.random(given.x.size) < p_alive(fit.family, fit.parameters, given.x, given.t_x, given.T)
    ordered = in_order(fit.family, fit.parameters)
    found: Floats = alive * PROCESSES[fit.family].future_if_alive(ordered, t, given.x, given.T, rng)
    return found


def _paid(parameters: Parameters, bought: Floats, valued: Floats, spent: Floats, rng: np.random.Generator) -> Floats:
    p, q, v = (parameters[name] for name in ("p", "q", "v"))
    totals = np.where(valued > 0, valued * np.maximum(spent, 0.0), 0.0)
    rates = rng.gamma(p * valued + q) / (v + totals)
    found: Floats = rng.gamma(p * bought) / np.maximum(rates, np.finfo(np.float64).tiny)
    return found


def _between(value: float, totals: Floats, *, level: float, n: int) -> Estimate:
    low, high = np.quantile(totals, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), level, METHOD, n)


def _without_interval(value: float, fits: list[Fitted], *, level: float, n: int) -> Estimate:
    if value <= 0:
        return Estimate(0.0, 0.0, 0.0, level, METHOD, n)
    # A fit that stopped at no maximum may be anywhere; one without curvature is where it is, however far that reaches.
    lost = next(each for each in fits if each.log_covariance is None)
    settled = lost.convergence.reason is not None and not lost.convergence.reason.startswith("no maximum")
    reason: Reason = "singular" if settled else "not_converged"
    return Estimate(value, None, None, level, METHOD, n, reason)
