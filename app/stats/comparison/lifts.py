"""How sure a lift is where few customers of control bought: its mean is skewed then, and may be next to nothing."""

import math
from dataclasses import dataclass

from scipy.special import fdtr, fdtrc, fdtri, stdtrit

from app.stats.comparison import proportions
from app.stats.comparison.difference import Difference
from app.stats.comparison.proportions import Share
from app.stats.comparison.sums import Sums
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level

WELL_DETERMINED = 0.1
"""Finney's g below which the delta method's interval is as good as any, by simulation (docs/campaigns.md)."""

# An arm in which nobody differs is known for certain; quantiles of F are exact far beyond any real arm.
CERTAIN = 1e9


@dataclass(frozen=True, slots=True)
class ShareLift(Difference):
    """A lift of shares over a small share of control: Koopman's score interval with the pooled test.

    Parameters
    ----------
    treated, control : tuple of float
        How many of how many in each arm.

    References
    ----------
    As `proportions.lift` and `proportions.pooled_p_value`.

    Examples
    --------
    >>> found = ShareLift(0.5, 0.6, 40.0, 100, "koopman", treated=(6, 40), control=(6, 60))
    >>> ends = found.interval()
    >>> round(ends.low, 4), round(ends.high, 4), round(found.p_value, 4)
    (-0.46, 3.1234, 0.451)
    """

    treated: Share
    control: Share

    def interval(self, *, level: float = 0.95) -> Estimate:
        """Give Koopman's interval.

        Parameters
        ----------
        level : float, default 0.95
            Confidence level, in (0, 1).

        Returns
        -------
        Estimate
            At least -1.

        Raises
        ------
        StatsError
            If `level` is outside (0, 1) or control is a share of 0, of which there is no lift.
        """
        found = proportions.lift(self.treated, self.control, level=level)
        if isinstance(found, Undetermined):
            raise StatsError(f"there is no lift: {found.reason}")
        return found

    @property
    def p_value(self) -> float | None:
        """Two-sided, of equal shares; None where nobody or everybody is counted in both arms."""
        return proportions.pooled_p_value(self.treated, self.control)


@dataclass(frozen=True, slots=True)
class Amount:
    """The mean of what few bring and most do not: it adds up of events, as a rate of Poisson counts of several sizes.

    Parameters
    ----------
    mean : float
        Per customer, above 0.
    variance : float
        Of that mean, at least 0.
    event : float
        What one event more would add to the mean, above 0: the mean size of an event, drawn in proportion to its size.
    """

    mean: float
    variance: float
    event: float

    @classmethod
    def of(cls, sums: Sums) -> "Amount":
        """Take it from the sums of an arm whose total is positive.

        Parameters
        ----------
        sums : Sums
            Of the arm, per customer.

        Returns
        -------
        Amount
        """
        return cls(float(sums.mean), float(sums.variance / sums.n), float(sums.squares / (sums.total * sums.n)))

    @property
    def plus_one(self) -> tuple[float, float]:
        """Mean, and degrees of freedom of the gamma law with it, had there been one event more."""
        mean = self.mean + self.event
        return mean, _freedom(mean, self.variance + self.event**2)

    @property
    def as_is(self) -> tuple[float, float]:
        """Mean, and degrees of freedom of the gamma law with it and its variance."""
        return self.mean, _freedom(self.mean, self.variance)


@dataclass(frozen=True, slots=True)
class SparseLift(Difference):
    r"""A lift over a control of few buyers: Fay's limits of a ratio of rates.

    A sum of few and unequal amounts is nearly gamma distributed, and a ratio of gamma variables follows F. With
    :math:`v = s^2 / n`, :math:`w = \sum y^2 / (n \sum y)` of an arm, its degrees of freedom as it is
    :math:`\nu = 2 \bar y^2 / v` and with one event more :math:`\nu^* = 2 (\bar y + w)^2 / (v + w^2)`, the limits of the
    ratio of means are

    .. math:: \frac{\bar y_1}{\bar y_0 + w_0} F_{\alpha / 2}(\nu_1, \nu_0^*), \quad
        \frac{\bar y_1 + w_1}{\bar y_0} F_{1 - \alpha / 2}(\nu_1^*, \nu_0).

    For counts among many these are the exact limits of two Poisson rates. Fay takes w as the largest size of an event,
    Tiwari, Clegg and Zou as the mean size; sums know neither, but the mean of sizes drawn in proportion to themselves,
    which lies between. The sample's variance stands for that of Poisson counts, of which it is the general form.

    Parameters
    ----------
    treated, control : Amount
        Of the two arms, in one unit.

    References
    ----------
    Fay, M. P. (1999). Approximate confidence intervals for rate ratios from directly standardized rates with sparse
    data. Communications in Statistics: Theory and Methods 28(9), 2141-2160.
    Fay, M. P. and Feuer, E. J. (1997). Confidence intervals for directly standardized rates: a method based on the gamma
    distribution. Statistics in Medicine 16, 791-801.
    Tiwari, R. C., Clegg, L. X. and Zou, Z. (2006). Efficient interval estimation for age-adjusted cancer rates.
    Statistical Methods in Medical Research 15, 547-569.

    Examples
    --------
    11 purchases of 5 among 800,000 customers, against 21 among 3,011,000:

    >>> arms = [Amount.of(Sums(n, 5 * count, 25 * count)) for n, count in ((800_000, 11), (3_011_000, 21))]
    >>> found = SparseLift(0.9715, 0.73, 1e6, 3_811_000, "fay", *arms)
    >>> ends = found.interval()
    >>> round(ends.low, 4), round(ends.high, 4), round(found.p_value, 4)
    (-0.1416, 3.2773, 0.112)
    """

    treated: Amount
    control: Amount

    def interval(self, *, level: float = 0.95) -> Estimate:
        """Give Fay's interval.

        Parameters
        ----------
        level : float, default 0.95
            Confidence level, in (0, 1).

        Returns
        -------
        Estimate
            Above -1.

        Raises
        ------
        StatsError
            If `level` is outside (0, 1).
        """
        check_level(level)
        tail = (1 - level) / 2
        (over, own), (under, other) = self.treated.as_is, self.control.plus_one
        low = over / under * float(fdtri(own, other, tail))
        (over, own), (under, other) = self.treated.plus_one, self.control.as_is
        high = over / under * float(fdtri(own, other, 1 - tail))
        return Estimate(self.value, low - 1, high - 1, level, self.method, self.n)

    @property
    def p_value(self) -> float | None:
        """Two-sided, of no difference: below 1 - level exactly where the interval of that level leaves out 0."""
        (over, own), (under, other) = self.treated.as_is, self.control.plus_one
        above = float(fdtr(own, other, under / over))
        (over, own), (under, other) = self.treated.plus_one, self.control.as_is
        below = float(fdtrc(own, other, under / over))
        return min(2 * min(above, below), 1.0)


def finneys_g(control: Sums) -> float:
    r"""Say how badly a denominator is determined.

    :math:`g = t^2 s_0^2 / (n_0 \bar y_0^2)` with Student's t of 95 % and :math:`n_0 - 1` degrees of freedom: the squared
    half width of the control mean's own interval, as a part of that mean. From 1 on the interval contains 0, and
    Fieller's set of ratios that the data allow has no end.

    Parameters
    ----------
    control : Sums
        Of at least two customers.

    Returns
    -------
    float
        At least 0; infinite for a mean of 0.

    Raises
    ------
    StatsError
        If there are fewer than two customers.

    References
    ----------
    Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal Statistical Society B 16, 175-185.
    Finney, D. J. (1978). Statistical Method in Biological Assay, 3rd ed., chapter 4 (its g).

    Examples
    --------
    >>> round(finneys_g(Sums.of([24, 25, 26])), 5)
    0.00987
    >>> finneys_g(Sums.of([0, 0, 9])) > 1
    True
    """
    error = float(control.variance / control.n)
    if control.total == 0:
        return math.inf
    return float(stdtrit(control.n - 1, 0.975)) ** 2 * error / float(control.mean) ** 2


def as_share(sums: Sums) -> Share | None:
    """Tell whether a figure only says yes or no of each customer, and of how many it says yes.

    Parameters
    ----------
    sums : Sums
        Of the figure.

    Returns
    -------
    tuple of float or None
        How many of how many; None where it says more. Of whole numbers, y (y - 1) is 0 for 0 and 1 alone.

    Examples
    --------
    >>> as_share(Sums.of([0, 1, 1])), as_share(Sums.of([0, 2, 1]))
    ((2, 3), None)
    """
    if not isinstance(sums.total, int) or sums.total != sums.squares:
        return None
    return sums.total, sums.n


def _freedom(mean: float, variance: float) -> float:
    return min(2 * mean**2 / variance, CERTAIN) if variance > 0 else CERTAIN
