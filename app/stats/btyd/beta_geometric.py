"""The likelihood that BG/NBD and MBG/NBD share: gamma buying rates, beta chances to drop out after a purchase."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, psi

from app.stats.btyd.distinct import Codes, coded, totalled
from app.stats.btyd.families import LogLikelihood
from app.stats.btyd.histories import Histories
from app.stats.btyd.trigamma import trigamma

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Rows looked at together: their columns stay in the processor's cache, and too short for a product of two to be spread
# over threads that would wait for one another.
_CHUNK = 8_192


def log_likelihood(histories: Histories, *, at_zero: bool) -> LogLikelihood:
    r"""Build the log-likelihood of histories as a function of log r, log alpha, log a, log b.

    .. math:: L = \frac{\Gamma(r + x)}{\Gamma(r)} \frac{B(a, b + y)}{B(a, b)} \alpha^r \left[(\alpha + T)^{-(r + x)}
        + \delta \frac{a}{b + y - 1} (\alpha + t_x)^{-(r + x)}\right]

    with y = x and :math:`\delta` = 1 where x > 0 (BG/NBD), or y = x + 1 and :math:`\delta` = 1 throughout (MBG/NBD).
    Everything but the bracket is a sum over distinct x and distinct T; of the bracket only its log-odds is left per
    distinct history. Gradient and Hessian are exact.

    Parameters
    ----------
    histories : Histories
        At least one.
    at_zero : bool
        Whether a customer may drop out right after the first purchase (MBG/NBD).

    Returns
    -------
    LogLikelihood
        Summed over all customers. Not finite where the parameters overflow; never raises.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "Counting your customers" the easy way. Marketing Science
    24(2), 275-284, equation 6.
    Batislam, E. P., Denizel, M. and Filiztekin, A. (2007). Empirical validation and comparison of models for customer
    base analysis. International Journal of Research in Marketing 24(3), 201-209, equation 5.

    Examples
    --------
    >>> f = log_likelihood(Histories.of([2], [30.43], [38.86]), at_zero=False)
    >>> value, gradient, hessian = f(np.log([0.243, 4.414, 0.793, 2.426]))
    >>> round(value, 4), gradient.shape, hessian.shape
    (-9.4586, (4,), (4, 4))
    """
    tables = _Tables.of(histories, 1.0 if at_zero else 0.0)

    def evaluate(logs: Floats) -> tuple[float, Floats, Floats]:
        with np.errstate(all="ignore"):
            return tables.evaluate(np.exp(logs))

    return evaluate


@dataclass(frozen=True, slots=True)
class _Tables:
    """What does not depend on the parameters: customers per distinct x and T, and the rows that may have dropped out."""

    y_offset: float
    counts: Floats
    customers_of: Floats
    times: Floats
    customers_at: Floats
    purchases_at: Floats
    x: Floats
    weights: Floats
    of_x: Integers
    of_age: Integers
    of_last: Integers

    @classmethod
    def of(cls, histories: Histories, y_offset: float) -> "_Tables":
        counts = coded(histories.x)
        times: Codes = coded(np.concatenate([histories.T, histories.t_x]))
        at_T, at_t = np.split(times.of, 2)
        size, weights = times.values.size, histories.weights
        may = slice(None) if y_offset else histories.x > 0
        return cls(
            y_offset=y_offset,
            counts=counts.values,
            customers_of=totalled(counts.of, weights, counts.values.size),
            times=times.values,
            customers_at=totalled(at_T, weights, size),
            purchases_at=totalled(at_T, weights * histories.x, size),
            x=histories.x[may],
            weights=weights[may],
            of_x=counts.of[may],
            of_age=at_T[may],
            of_last=at_t[may],
        )

    def evaluate(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Value, gradient and Hessian in the logarithms, from those in the parameters by the chain rule."""
        value, slope, bend = self._in_tables(parameters)
        value_rows, slope_rows, bend_rows = self._in_rows(parameters)
        slope = (slope + slope_rows) * parameters
        bend = (bend + bend_rows) * np.outer(parameters, parameters) + np.diag(slope)
        return value + value_rows, slope, bend

    def _in_tables(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        r, alpha, a, b = parameters
        k, w, y = r + self.counts, self.customers_of, self.counts + self.y_offset
        logs, inverse = np.log(alpha + self.times), 1 / (alpha + self.times)
        exponents = r * self.customers_at + self.purchases_at
        n = w.sum()
        # a + b against a + b + y: the same three differences of gammaln, psi and trigamma.
        whole, stay, both = a + b, b + y, a + b + y
        value = w @ (gammaln(k) - gammaln(r) + gammaln(whole) + gammaln(stay) - gammaln(b) - gammaln(both))
        value += n * r * np.log(alpha) - exponents @ logs
        slope_a = w @ (psi(whole) - psi(both))
        slope = np.array(
            [
                w @ (psi(k) - psi(r)) + n * np.log(alpha) - self.customers_at @ logs,
                n * r / alpha - exponents @ inverse,
                slope_a,
                slope_a + w @ (psi(stay) - psi(b)),
            ]
        )
        bend = np.zeros((4, 4))
        bend[0, 0] = w @ (trigamma(k) - trigamma(r))
        bend[0, 1] = bend[1, 0] = n / alpha - self.customers_at @ inverse
        bend[1, 1] = -n * r / alpha**2 + exponents @ inverse**2
        bend[2:, 2:] = w @ (trigamma(whole) - trigamma(both))
        bend[3, 3] += w @ (trigamma(stay) - trigamma(b))
        return float(value), slope, bend

    def _in_rows(self, parameters: Floats) -> tuple[float, Floats, Floats]:
        """The sum of log(1 + odds of having dropped out), the odds being exp(d)."""
        r, alpha, a, b = parameters
        logs, inverse = np.log(alpha + self.times), 1 / (alpha + self.times)
        chance = b + self.counts + self.y_offset - 1
        log_chance = np.log(a) - np.log(chance)
        value, moments = 0.0, np.zeros(5)
        # Per distinct x: the weight gone, its spread, and that times the slopes of d in r and alpha.
        by_x = np.zeros((4, self.counts.size))
        for start in range(0, self.x.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            of_x, w, k = self.of_x[rows], self.weights[rows], r + self.x[rows]
            in_r = logs[self.of_age[rows]] - logs[self.of_last[rows]]
            late = inverse[self.of_age[rows]]
            closer = late - inverse[self.of_last[rows]]
            in_alpha = k * closer
            d = log_chance[of_x] + k * in_r
            small = np.exp(-np.abs(d))
            value += float(w @ (np.maximum(d, 0.0) + np.log1p(small)))
            share = np.where(d >= 0, 1.0, small) / (1 + small)
            gone = w * share
            spread = gone * (1 - share)
            spread_r, spread_alpha = spread * in_r, spread * in_alpha
            moments += [
                gone @ in_r,
                gone @ in_alpha,
                spread_r @ in_r,
                spread_r @ in_alpha + gone @ closer,
                spread_alpha @ in_alpha - gone @ (in_alpha * (2 * late - closer)),
            ]
            for place, weight in enumerate((gone, spread, spread_r, spread_alpha)):
                by_x[place] += totalled(of_x, weight, self.counts.size)
        return value, *_assembled(moments, by_x, a, 1 / np.where(chance > 0, chance, np.inf))


def _assembled(moments: Floats, by_x: Floats, a: float, per_chance: Floats) -> tuple[Floats, Floats]:
    gone, spread, spread_r, spread_alpha = by_x.sum(axis=1)
    gone_b, spread_b, spread_rb, spread_alpha_b = by_x @ per_chance
    gone_bb, spread_bb = by_x[:2] @ per_chance**2
    slope = np.array([moments[0], moments[1], gone / a, -gone_b])
    upper = np.zeros((4, 4))
    upper[0] = moments[2], moments[3], spread_r / a, -spread_rb
    upper[1, 1:] = moments[4], spread_alpha / a, -spread_alpha_b
    upper[2, 2:] = (spread - gone) / a**2, -spread_b / a
    upper[3, 3] = spread_bb + gone_bb
    return slope, upper + np.triu(upper, 1).T
