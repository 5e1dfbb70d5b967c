"""How likely an experiment is to find what is there, how little it could find, and how long it would have to run."""

import math

from scipy.special import ndtr, ndtri

from app.stats.estimate import StatsError, check_level


def power(effect: float, standard_error: float, *, level: float = 0.95) -> float:
    r"""Give the probability that an effect of this size is found significant, on the right side.

    :math:`\Phi(|\delta| / se - z_{(1 + level) / 2})`, the normal approximation.

    Parameters
    ----------
    effect : float
        The true difference to be found, in any unit. Not that just observed: power of the observed effect says nothing
        that its p-value does not.
    standard_error : float
        That the estimated difference has or will have, in the same unit. Above 0.
    level : float, default 0.95
        Level of the two-sided test, in (0, 1).

    Returns
    -------
    float
        (1 - `level`) / 2 for no effect, towards 1.

    Raises
    ------
    StatsError
        If the effect is not finite, the standard error not positive or `level` outside (0, 1).

    References
    ----------
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed., section 2.3.
    Hoenig, J. M. and Heisey, D. M. (2001). The abuse of power. The American Statistician 55, 19-24.

    Examples
    --------
    >>> round(power(2.8, 1.0), 2)
    0.8
    """
    _check(standard_error, level=level)
    if not math.isfinite(effect):
        raise StatsError("an effect is a finite number")
    return float(ndtr(abs(effect) / standard_error - _z(level)))


def minimum_detectable_effect(standard_error: float, *, power: float = 0.8, level: float = 0.95) -> float:
    r"""Give the smallest true effect that is found with the stated probability.

    :math:`se (z_{(1 + level) / 2} + z_{power})`.

    Parameters
    ----------
    standard_error : float
        That the estimated difference has or will have, in any unit. Above 0.
    power : float, default 0.8
        Probability of finding it, in (0, 1).
    level : float, default 0.95
        Level of the two-sided test, in (0, 1).

    Returns
    -------
    float
        In the unit of the standard error.

    Raises
    ------
    StatsError
        If the standard error is not positive or a probability outside (0, 1).

    References
    ----------
    Bloom, H. S. (1995). Minimum detectable effects. Evaluation Review 19(5), 547-556.

    Examples
    --------
    >>> round(minimum_detectable_effect(1.0), 4)
    2.8016
    """
    _check(standard_error, level=level)
    check_level(power)
    return standard_error * (_z(level) + float(ndtri(power)))


def growth_needed(effect: float, standard_error: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """Say by which factor the number of customers has to grow until an effect of this size is found.

    Standard errors fall with the square root of the number of customers, both arms growing alike: at 100 customers a
    day and a factor of 1.5, an experiment of 20 days needs 10 more.

    Parameters
    ----------
    effect : float
        The true difference to be found, other than 0.
    standard_error : float
        That of the difference so far. Above 0.
    power : float, default 0.8
        Probability of finding it, in (0, 1).
    level : float, default 0.95
        Level of the two-sided test, in (0, 1).

    Returns
    -------
    float
        At most 1 where there are enough already.

    Raises
    ------
    StatsError
        If the effect is 0 or not finite, the standard error not positive or a probability outside (0, 1).

    References
    ----------
    As `minimum_detectable_effect`.

    Examples
    --------
    >>> round(growth_needed(1.0, 0.5), 4)
    1.9622
    """
    if effect == 0.0 or not math.isfinite(effect):
        raise StatsError("how many customers show an effect can be said of an effect other than 0")
    return (minimum_detectable_effect(standard_error, power=power, level=level) / effect) ** 2


def customers_per_arm(effect: float, variances: tuple[float, float], *, power: float = 0.8, level: float = 0.95) -> int:
    r"""Give the number of customers that each of two equal arms needs.

    :math:`(z_{(1 + level) / 2} + z_{power})^2 (\sigma_1^2 + \sigma_0^2) / \delta^2`, rounded up. Of a share p the
    variance is p (1 - p).

    Parameters
    ----------
    effect : float
        The true difference to be found, other than 0.
    variances : tuple of float
        Of a customer's figure in the treated and the control arm, in the effect's unit squared. Not negative, not both 0.
    power : float, default 0.8
        Probability of finding it, in (0, 1).
    level : float, default 0.95
        Level of the two-sided test, in (0, 1).

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    StatsError
        If the effect is 0 or not finite, a variance negative or both 0, or a probability outside (0, 1).

    References
    ----------
    Fleiss, J. L., Levin, B. and Paik, M. C. (2003). Statistical Methods for Rates and Proportions, 3rd ed., chapter 4.

    Examples
    --------
    A conversion rate of 10 % to be seen rising to 12 %:

    >>> customers_per_arm(0.02, (0.12 * 0.88, 0.10 * 0.90))
    3839
    """
    if not all(0.0 <= variance < math.inf for variance in variances) or not any(variances):
        raise StatsError("variances are not negative and not both 0")
    return max(math.ceil(growth_needed(effect, math.sqrt(sum(variances)), power=power, level=level)), 1)


def _check(standard_error: float, *, level: float) -> None:
    check_level(level)
    if not 0.0 < standard_error < math.inf:
        raise StatsError(f"a standard error is above 0 and finite, not {standard_error}")


def _z(level: float) -> float:
    return float(ndtri((1 + level) / 2))
