"""Gamma-Gamma: what a purchase of a customer is worth on average, shrunk to the population where few are known."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, gammaln, psi

from app.stats.btyd.distinct import Codes, coded, totalled
from app.stats.btyd.information import Convergence, curvature, estimates, why_not
from app.stats.btyd.maximising import Maximum, maximise
from app.stats.btyd.trigamma import trigamma
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level

Floats = npt.NDArray[np.float64]

NAMES = ("p", "q", "v")
_LOWEST, _HIGHEST = 1e-5, 1e5
_GUESSES = ((1.0, 2.0), (5.0, 3.0), (0.5, 1.2))
_AGREEMENT = 0.01
_CHUNK = 8_192


@dataclass(frozen=True, slots=True)
class GammaGammaFit:
    """A fitted Gamma-Gamma model: p shape of a purchase's value, q and v shape and scale of how customers differ.

    Parameters
    ----------
    parameters : dict of str to float
        p, q (numbers) and v (unit of the values), positive, finite.
    log_covariance : ndarray of float64, shape (3, 3), or None
        Of their logarithms, in this order, from the observed information; 0 where not determined, None where nothing is.
    estimates : dict of str to Estimate
        With intervals, or the reason why there is none.
    log_likelihood : float
        Summed over the customers used.
    customers : int
        Those used: with x > 0 and a positive mean value.
    convergence : Convergence
        How the search went.
    """

    parameters: dict[str, float]
    log_covariance: Floats | None
    estimates: dict[str, Estimate]
    log_likelihood: float
    customers: int
    convergence: Convergence


def fit_gamma_gamma(
    x: npt.ArrayLike, mean_value: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, level: float = 0.95
) -> GammaGammaFit | Undetermined:
    r"""Fit the value of purchases by maximum likelihood.

    .. math:: L = \frac{\Gamma(p x + q)}{\Gamma(p x) \Gamma(q)} \frac{v^q m^{p x - 1} x^{p x}}{(v + x m)^{p x + q}}

    A purchase of a customer is Gamma(p, rate nu) distributed, nu among customers Gamma(q, rate v), independently of
    how often they buy: check the correlation of x and the mean value before you rely on it.

    Parameters
    ----------
    x : array_like, shape (n,)
        Purchases that the mean is over, at least 0. Rows with 0 are left out.
    mean_value : array_like, shape (n,)
        Mean value of these purchases, in any one unit of money, finite. Rows with 0 or less (refunded, given away)
        are left out: the model knows positive values only.
    weights : array_like, shape (n,), optional
        Customers per row, at least 0.
    level : float, default 0.95
        Of the intervals, in (0, 1).

    Returns
    -------
    GammaGammaFit or Undetermined
        ``Undetermined("no_positive_spend")`` where no row is left, ``"too_few"`` with fewer than four customers.

    Raises
    ------
    StatsError
        If a number is not finite, x or a weight is negative, or the columns differ in length.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). RFM and CLV. Journal of Marketing Research 42(4), 415-430.
    Fader, P. S. and Hardie, B. G. S. (2013). The gamma-gamma model of monetary value. Note 25, brucehardie.com,
    equation 1a.

    Examples
    --------
    >>> found = fit_gamma_gamma([2, 1, 5, 3, 2, 0], [22.4, 11.8, 73.7, 30.0, 41.2, 0.0])
    >>> found.customers, round(found.log_likelihood, 2)
    (5, -21.32)
    """
    check_level(level)
    counts, means, w = _columns(x, mean_value, weights)
    used = (counts > 0) & (means > 0) & (w > 0)
    counts, means, w = counts[used], means[used], w[used]
    n = round(float(w.sum()))
    if not counts.size:
        return Undetermined("no_positive_spend", 0)
    if n <= len(NAMES):
        return Undetermined("too_few", n)
    likelihood = _LogLikelihood.of(counts, means, w)
    typical = float(w @ means) / float(w.sum())
    low, high = (np.log(bound * np.array([1.0, 1.0, typical])) for bound in (_LOWEST, _HIGHEST))
    tried = [maximise(likelihood, np.log([p, q, q * typical / p]), low, high, tolerance=1e-3) for p, q in _GUESSES]
    best = max(tried, key=lambda each: each.value)
    top = maximise(likelihood, best.position, low, high)
    agreeing = sum(each.value > best.value - _AGREEMENT for each in tried)
    return _found(top, agreeing, level=level, n=n)


def _found(top: Maximum, agreeing: int, *, level: float, n: int) -> GammaGammaFit:
    known = curvature(top)
    reason = why_not(NAMES, top, known)
    return GammaGammaFit(
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


def _columns(x: npt.ArrayLike, mean_value: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Floats, ...]:
    counts, means = np.asarray(x, dtype=np.float64), np.asarray(mean_value, dtype=np.float64)
    w = np.ones_like(counts) if weights is None else np.asarray(weights, dtype=np.float64)
    if counts.ndim != 1 or not counts.shape == means.shape == w.shape:
        raise StatsError("x, mean_value and weights are columns of one length")
    for name, column in (("x", counts), ("mean_value", means), ("weights", w)):
        if not np.isfinite(column).all():
            raise StatsError(f"{name} is not finite in row {int((~np.isfinite(column)).argmax())}")
    for name, column in (("x", counts), ("weights", w)):
        if (column < 0).any():
            raise StatsError(f"{name} is negative in row {int((column < 0).argmax())}")
    return counts, means, w


@dataclass(frozen=True, slots=True)
class _LogLikelihood:
    """The log-likelihood in log p, log q, log v; everything but log(v + x m) is a sum over distinct x."""

    counts: Codes
    totals: Floats
    weights: Floats
    customers_of: Floats
    fixed: Floats

    @classmethod
    def of(cls, x: Floats, mean_value: Floats, weights: Floats) -> "_LogLikelihood":
        counts, log_means = coded(x), np.log(mean_value)
        # What multiplies p, and what stands alone.
        fixed = np.array([weights @ (x * (log_means + np.log(x))), -(weights @ log_means)])
        return cls(counts, x * mean_value, weights, totalled(counts.of, weights, counts.values.size), fixed)

    def __call__(self, logs: Floats) -> tuple[float, Floats, Floats]:
        with np.errstate(all="ignore"):
            p, q, v = parameters = np.exp(logs)
            x, w = self.counts.values, self.customers_of
            px, n = p * x, w.sum()
            both = px + q
            logs_of, inverse_of, squares_of = self._by_x(v)
            value = w @ (gammaln(both) - gammaln(px) - gammaln(q) + q * np.log(v))
            value += p * self.fixed[0] + self.fixed[1] - both @ logs_of
            slope = np.array(
                [
                    (w * x) @ (psi(both) - psi(px)) + self.fixed[0] - x @ logs_of,
                    w @ (psi(both) - psi(q)) + n * np.log(v) - logs_of.sum(),
                    n * q / v - both @ inverse_of,
                ]
            )
            bend = np.empty((3, 3))
            bend[0, 0] = (w * x**2) @ (trigamma(both) - trigamma(px))
            bend[0, 1] = bend[1, 0] = (w * x) @ trigamma(both)
            bend[0, 2] = bend[2, 0] = -(x @ inverse_of)
            bend[1, 1] = w @ (trigamma(both) - trigamma(q))
            bend[1, 2] = bend[2, 1] = n / v - inverse_of.sum()
            bend[2, 2] = both @ squares_of - n * q / v**2
            slope = slope * parameters
            return float(value), slope, bend * np.outer(parameters, parameters) + np.diag(slope)

    def _by_x(self, v: float) -> Floats:
        """Weighted sums of log(v + x m), of its inverse and its inverse square, per distinct x."""
        sums = np.zeros((3, self.counts.values.size))
        for start in range(0, self.totals.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            of, w, away = self.counts.of[rows], self.weights[rows], v + self.totals[rows]
            inverse = 1 / away
            for place, column in enumerate((np.log(away), inverse, inverse * inverse)):
                sums[place] += totalled(of, w * column, sums.shape[1])
        return sums


def expected_value(parameters: Mapping[str, float], x: npt.ArrayLike, mean_value: npt.ArrayLike) -> Floats:
    r"""Expect the value of a customer's next purchases.

    :math:`p (v + x m) / (p x + q - 1)`: between the customer's own mean and the population's, the closer to the own
    the more purchases there are. For x = 0 the mean of the population, :math:`p v / (q - 1)`.

    Parameters
    ----------
    parameters : mapping of str to float
        p, q, v.
    x : array_like, shape (n,)
        Purchases that the mean is over, at least 0.
    mean_value : array_like, shape (n,)
        Mean value of these, in the unit of v; not looked at where x = 0. What is negative counts as 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        Positive, finite. Where :math:`p x + q \le 1` the expectation is infinite (`population_mean` says so for the
        population): there it is the median of the customer's mean value instead.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2013). Note 25, brucehardie.com, equation 5.

    Examples
    --------
    >>> cdnow = {"p": 6.25, "q": 3.74, "v": 15.44}
    >>> expected_value(cdnow, [2, 0, 40], [22.35, 0.0, 22.35]).round(2).tolist()
    [24.66, 35.22, 22.49]
    """
    p, q, v = (parameters[name] for name in NAMES)
    counts, means = np.asarray(x, dtype=np.float64), np.asarray(mean_value, dtype=np.float64)
    totals = np.where(counts > 0, counts * np.maximum(means, 0.0), 0.0)
    shape = p * counts + q
    finite = shape > 1
    below = shape - 1
    if not finite.all():
        below = np.where(finite, below, gammaincinv(np.where(finite, 1.0, shape), 0.5))
    # The median of a gamma variable of tiny shape is no double; the value is then as good as without bound.
    found: Floats = p * (v + totals) / np.maximum(below, np.finfo(np.float64).tiny * p * (v + totals) * 1e10)
    return found


def population_mean(parameters: Mapping[str, float]) -> float | Undetermined:
    """Expect the value of a purchase of a customer of whom nothing is known.

    Parameters
    ----------
    parameters : mapping of str to float
        p, q, v.

    Returns
    -------
    float or Undetermined
        p v / (q - 1), in the unit of v; ``Undetermined("singular")`` where q <= 1: customers differ so much that
        their mean has no expectation.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2013). Note 25, brucehardie.com, section 2.

    Examples
    --------
    >>> round(population_mean({"p": 6.25, "q": 3.74, "v": 15.44}), 2)
    35.22
    >>> population_mean({"p": 6.25, "q": 0.9, "v": 15.44})
    Undetermined(reason='singular', n=0)
    """
    p, q, v = (parameters[name] for name in NAMES)
    return p * v / (q - 1) if q > 1 else Undetermined("singular", 0)
