"""How far two arms lie apart and how well that is known: what intervals, tests and posteriors are made from."""

import math
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from app.stats.estimate import Estimate, StatsError, check_count, check_level


@dataclass(frozen=True, slots=True)
class Difference:
    """An estimated difference with its standard error.

    Parameters
    ----------
    value : float
        Treated less control, absolute (effect) or as a share of control (lift).
    standard_error : float
        Of `value`, at least 0; 0 where neither arm varies.
    degrees_of_freedom : float
        Of the standard error, above 0; infinite where a normal law is used.
    n : int
        Customers of both arms together.
    method : str
        Where standard error or interval come from: ``"welch"``, ``"delta"`` and others.

    Raises
    ------
    StatsError
        If a number is not finite (but the degrees of freedom), the standard error is negative, or there are no degrees
        of freedom.

    References
    ----------
    Welch, B. L. (1947). The generalization of Student's problem when several different population variances are
    involved. Biometrika 34, 28-35.

    Examples
    --------
    >>> effect = Difference(value=1.0, standard_error=0.5, degrees_of_freedom=math.inf, n=100, method="welch")
    >>> round(effect.interval().low, 4), round(effect.p_value, 4)
    (0.02, 0.0455)
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    n: int
    method: str

    def __post_init__(self) -> None:
        """Refuse what is no difference."""
        check_count(self.n)
        if not (math.isfinite(self.value) and 0.0 <= self.standard_error < math.inf and self.degrees_of_freedom > 0):
            raise StatsError("a difference is finite, with a standard error and degrees of freedom")

    def interval(self, *, level: float = 0.95) -> Estimate:
        """Give the two-sided interval, valid when looked at once.

        Parameters
        ----------
        level : float, default 0.95
            Confidence level, in (0, 1).

        Returns
        -------
        Estimate
            Without an interval (``zero_variance``) where the standard error is 0.

        Raises
        ------
        StatsError
            If `level` is outside (0, 1).

        Examples
        --------
        >>> Difference(1.0, 0.0, math.inf, 4, "welch").interval().reason
        'zero_variance'
        """
        check_level(level)
        if self.standard_error == 0.0:
            return Estimate(self.value, None, None, level, self.method, self.n, "zero_variance")
        half = float(stdtrit(self.degrees_of_freedom, (1 + level) / 2)) * self.standard_error
        return Estimate(self.value, self.value - half, self.value + half, level, self.method, self.n)

    @property
    def p_value(self) -> float | None:
        """Two-sided, of no difference at all; None where the standard error is 0 and nothing can be tested."""
        if self.standard_error == 0.0:
            return None
        return 2.0 * float(stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error))
