"""How far the means of two arms lie apart: revenue per assigned customer, visits, anything that adds up."""

import math
from fractions import Fraction

from app.stats.comparison.difference import Difference
from app.stats.comparison.lifts import WELL_DETERMINED, Amount, ShareLift, SparseLift, as_share, finneys_g
from app.stats.comparison.sums import Sums
from app.stats.estimate import Undetermined


def effect(treated: Sums, control: Sums) -> Difference | Undetermined:
    r"""Give the difference of two means, whatever their variances.

    :math:`\bar y_1 - \bar y_0` with standard error :math:`\sqrt{s_1^2 / n_1 + s_0^2 / n_0}` and Welch's degrees of
    freedom.

    Parameters
    ----------
    treated, control : Sums
        Of the two arms, in one unit.

    Returns
    -------
    Difference or Undetermined
        In that unit, ``method="welch"``. ``Undetermined("no_exposures", n)`` where an arm is empty and
        ``("too_few", n)`` where one has a single customer, of whose variance nothing is known.

    References
    ----------
    Welch, B. L. (1947). The generalization of Student's problem when several different population variances are
    involved. Biometrika 34, 28-35.

    Examples
    --------
    >>> found = effect(Sums.of([30, 34, 38]), Sums.of([24, 25, 26]))
    >>> found.value, round(found.standard_error, 4), round(found.degrees_of_freedom, 4)
    (9.0, 2.3805, 2.249)
    >>> effect(Sums.of([30]), Sums.of([]))
    Undetermined(reason='no_exposures', n=1)
    """
    missing = _missing(treated, control)
    if missing:
        return missing
    parts = treated.variance / treated.n, control.variance / control.n
    value = float(treated.mean - control.mean)
    return Difference(value, math.sqrt(sum(parts)), _freedom(parts, treated, control), _n(treated, control), "welch")


def lift(treated: Sums, control: Sums) -> Difference | Undetermined:
    r"""Give the difference of two means as a share of that of control.

    :math:`\bar y_1 / \bar y_0 - 1` with the delta method's variance
    :math:`(s_1^2 / n_1 + r^2 s_0^2 / n_0) / \bar y_0^2`, :math:`r = \bar y_1 / \bar y_0`: unlike the effect over a fixed
    baseline it knows that the baseline is an estimate too. Degrees of freedom as Welch's for the same two parts.

    An interval around it is symmetric, and a ratio over a mean that is hardly known is not. Where Finney's g of control is
    at least .1, shares have Koopman's interval and other figures Fay's (`ShareLift`, `SparseLift`); where the control mean
    is not distinguishable from 0, Fieller's set has no end, and there is no lift.

    Parameters
    ----------
    treated, control : Sums
        Of the two arms, in one unit.

    Returns
    -------
    Difference or Undetermined
        .05 is 5 % more; ``method`` is ``"delta"``, ``"koopman"`` or ``"fay"``. The delta method too where the treated mean
        is not positive, as a gamma law has none such. ``Undetermined("zero_denominator", n)`` where the mean of control is
        not positive: of nothing or a loss there is no share. ``("uncertain_denominator", n)`` where its own 95 % interval
        contains 0, but for shares. Else as `effect`.

    References
    ----------
    Deng, A., Knoblich, U. and Lu, J. (2018). Applying the delta method in metric analytics: a practical guide with novel
    ideas. KDD, 233-242 (ratio of two independent means).
    Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal Statistical Society B 16, 175-185.

    Examples
    --------
    >>> found = lift(Sums.of([30, 34, 38]), Sums.of([24, 25, 26]))
    >>> round(found.value, 4), round(found.standard_error, 4), found.method
    (0.36, 0.0976, 'delta')
    >>> found = lift(Sums.of([30, 0, 38, 45]), Sums.of([24, 60, 0, 26, 40, 0])).interval()
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4), found.method
    (0.13, -0.684, 3.49, 'fay')
    >>> lift(Sums.of([1, 2]), Sums.of([0, 0]))
    Undetermined(reason='zero_denominator', n=4)
    >>> lift(Sums.of([1, 2]), Sums.of([0, 5]))
    Undetermined(reason='uncertain_denominator', n=4)
    """
    missing = _missing(treated, control)
    if missing:
        return missing
    n = _n(treated, control)
    if control.mean <= 0:
        return Undetermined("zero_denominator", n)
    shares, g = (as_share(treated), as_share(control)), finneys_g(control)
    found = _by_delta(treated, control)
    if g < WELL_DETERMINED:
        return found
    known = found.value, found.standard_error, found.degrees_of_freedom, n
    if shares[0] is not None and shares[1] is not None:
        return ShareLift(*known, "koopman", treated=shares[0], control=shares[1])
    if g >= 1:
        return Undetermined("uncertain_denominator", n)
    if treated.total <= 0:
        return found
    return SparseLift(*known, "fay", treated=Amount.of(treated), control=Amount.of(control))


def _by_delta(treated: Sums, control: Sums) -> Difference:
    ratio = treated.mean / control.mean
    parts = (
        treated.variance / treated.n / control.mean**2,
        ratio**2 * control.variance / control.n / control.mean**2,
    )
    freedom = _freedom(parts, treated, control)
    return Difference(float(ratio - 1), math.sqrt(sum(parts)), freedom, _n(treated, control), "delta")


def _missing(treated: Sums, control: Sums) -> Undetermined | None:
    least = min(treated.n, control.n)
    if least < 2:
        return Undetermined("too_few" if least else "no_exposures", _n(treated, control))
    return None


def _freedom(parts: tuple[Fraction, Fraction], treated: Sums, control: Sums) -> float:
    below = parts[0] ** 2 / (treated.n - 1) + parts[1] ** 2 / (control.n - 1)
    return float(sum(parts) ** 2 / below) if below else math.inf


def _n(treated: Sums, control: Sums) -> int:
    return treated.n + control.n
