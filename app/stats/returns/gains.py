"""What an initiative brought in all, by the evidence there is: a holdout, comparable customers, or time alone."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.comparison.difference import Difference
from app.stats.comparison.means import effect
from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError, Undetermined

# Below this a difference of trends before the start counts as one.
PARALLEL_P_VALUE = 0.05


def incremental_total(arms: Sequence[Sums], control: Sums) -> Difference | Undetermined:
    r"""Give what all treated arms of one experiment brought beyond what they would have brought untreated.

    :math:`\sum_a n_a (\bar y_a - \bar y_0)`. All arms share one control, whose error they share as well:
    the variance is :math:`\sum_a n_a s_a^2 + (\sum_a n_a)^2 s_0^2 / n_0`, more than that of independent comparisons.
    Degrees of freedom as Welch's for these parts.

    Parameters
    ----------
    arms : sequence of Sums
        Of the treated arms, per assigned customer.
    control : Sums
        Of the holdout.

    Returns
    -------
    Difference or Undetermined
        In the unit of the figure, summed over the treated; ``method="welch"``. ``Undetermined("no_exposures", n)``
        where nobody was treated or held out, ``("too_few", n)`` where an arm has a single customer.

    References
    ----------
    Imbens, G. W. and Rubin, D. B. (2015). Causal Inference for Statistics, Social, and Biomedical Sciences, chapter 6
    (the average effect on the treated times their number).

    Examples
    --------
    >>> found = incremental_total([Sums.of([30, 34, 38])], Sums.of([24, 25, 26]))
    >>> found.value, round(found.standard_error, 4)
    (27.0, 7.1414)
    """
    assigned = [arm for arm in arms if arm.n]
    n = control.n + sum(arm.n for arm in assigned)
    if not assigned or control.n == 0:
        return Undetermined("no_exposures", n)
    if min(control.n, *(arm.n for arm in assigned)) < 2:
        return Undetermined("too_few", n)
    treated = n - control.n
    value = sum((arm.total for arm in assigned), start=0) - treated * control.mean
    parts = [(arm.n * arm.variance, arm.n - 1) for arm in assigned]
    parts.append((treated**2 * control.variance / control.n, control.n - 1))
    variance = sum(part for part, _ in parts)
    below = sum(part**2 / freedom for part, freedom in parts)
    freedom = float(variance**2 / below) if below else math.inf
    return Difference(float(value), math.sqrt(variance), freedom, n, "welch")


def added_up(gains: Sequence[Difference]) -> Difference | Undetermined:
    """Give the sum of the gains of several experiments on different occasions.

    Parameters
    ----------
    gains : sequence of Difference
        Independent of each other.

    Returns
    -------
    Difference or Undetermined
        ``Undetermined("no_exposures", 0)`` where there is none.

    References
    ----------
    Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. Biometrics Bulletin
    2(6), 110-114, equation 17.

    Examples
    --------
    >>> one = Difference(100.0, 30.0, 50.0, 200, "welch")
    >>> found = added_up([one, Difference(20.0, 40.0, 50.0, 100, "welch")])
    >>> found.value, found.standard_error, found.n
    (120.0, 50.0, 300)
    """
    if not gains:
        return Undetermined("no_exposures", 0)
    if len(gains) == 1:
        return gains[0]
    variances = [gain.standard_error**2 for gain in gains]
    below = sum(part**2 / gain.degrees_of_freedom for part, gain in zip(variances, gains, strict=True))
    freedom = sum(variances) ** 2 / below if below else math.inf
    methods = sorted({gain.method for gain in gains})
    return Difference(
        sum(gain.value for gain in gains),
        math.sqrt(sum(variances)),
        freedom,
        sum(gain.n for gain in gains),
        methods[0] if len(methods) == 1 else "welch",
    )


def difference_in_differences(treated: Sums, comparison: Sums) -> Difference | Undetermined:
    r"""Give how much more the treated changed than comparable customers who were not treated.

    :math:`(\bar y_1 - \bar x_1) - (\bar y_0 - \bar x_0)` of the changes of single customers, so that what stays with a
    customer cancels. It is causal where both would have changed alike; `pre_trend` tests what of that can be tested.

    Parameters
    ----------
    treated, comparison : Sums
        y after the start and, beside it, x over an equally long time before, per customer.

    Returns
    -------
    Difference or Undetermined
        Per customer; ``method="difference_in_differences"``; undetermined as `effect`.

    References
    ----------
    Card, D. and Krueger, A. B. (1994). Minimum wages and employment. American Economic Review 84(4), 772-793, equation 1a
    without covariates.

    Examples
    --------
    >>> treated = Sums.of([30, 34, 38], beside=[20, 22, 24])
    >>> found = difference_in_differences(treated, Sums.of([24, 25, 26], beside=[21, 22, 23]))
    >>> found.value
    9.0
    """
    found = effect(*(each.combined(shift=0, own=1, beside=-1) for each in (treated, comparison)))
    if isinstance(found, Undetermined):
        return found
    return Difference(found.value, found.standard_error, found.degrees_of_freedom, found.n, "difference_in_differences")


def pre_trend(treated: Sums, comparison: Sums) -> tuple[Difference | Undetermined, bool | None]:
    """Ask whether both groups changed alike before anything was done.

    Parameters
    ----------
    treated, comparison : Sums
        y over the last stretch before the start and, beside it, x over the equally long one before that.

    Returns
    -------
    difference : Difference or Undetermined
        Of the changes; 0 where the trends were parallel.
    parallel : bool or None
        Whether a difference of 0 is compatible with the data (p of at least .05); None where that cannot be tested.

    References
    ----------
    Angrist, J. D. and Pischke, J.-S. (2009). Mostly Harmless Econometrics, section 5.2.

    Examples
    --------
    >>> treated = Sums.of([20, 22, 27], beside=[19, 22, 25])
    >>> pre_trend(treated, Sums.of([21, 22, 24], beside=[20, 22, 22]))[1]
    True
    """
    found = difference_in_differences(treated, comparison)
    if isinstance(found, Undetermined) or found.p_value is None:
        return found, None
    return found, found.p_value >= PARALLEL_P_VALUE


def before_and_after(before: ArrayLike, after: ArrayLike) -> Difference | Undetermined:
    r"""Give by how much the days after the start exceed the average day before, summed over the days after.

    Days in a row are alike, so that the variances of both means are those of Newey and West with
    :math:`\lfloor 4 (n / 100)^{2 / 9} \rfloor` lags. Whatever else changed meanwhile, seasons above all, is in the
    figure too.

    Parameters
    ----------
    before, after : array_like of float, shape (days,)
        Daily totals in order of time, every day there, also those of 0.

    Returns
    -------
    Difference or Undetermined
        In the unit of the totals; ``method="newey_west"``. ``Undetermined("baseline_missing", n)`` where there are not
        two days before, ``("too_few", n)`` where there are not two after.

    Raises
    ------
    StatsError
        If a total is not finite.

    References
    ----------
    Newey, W. K. and West, K. D. (1987). A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix. Econometrica 55(3), 703-708, equation 5; lags after Newey and West (1994).

    Examples
    --------
    >>> found = before_and_after([10.0, 12.0, 11.0, 9.0], [14.0, 16.0, 15.0])
    >>> found.value
    13.5
    """
    old, new = (np.asarray(days, dtype=np.float64) for days in (before, after))
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        raise StatsError("daily totals are finite numbers")
    n = old.size + new.size
    if old.size < 2:
        return Undetermined("baseline_missing", n)
    if new.size < 2:
        return Undetermined("too_few", n)
    variance = _variance_of_mean(old) + _variance_of_mean(new)
    value = float(new.size * (new.mean() - old.mean()))
    return Difference(value, new.size * math.sqrt(variance), float(n - 2), n, "newey_west")


def _variance_of_mean(days: NDArray[np.float64]) -> float:
    n = days.size
    around = days - days.mean()
    lags = min(n - 1, int(4 * (n / 100) ** (2 / 9)))
    total = float(around @ around)
    for lag in range(1, lags + 1):
        total += 2.0 * (1.0 - lag / (lags + 1)) * float(around[lag:] @ around[:-lag])
    return max(total, 0.0) / (n * (n - 1))
