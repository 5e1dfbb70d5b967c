"""Taking out of an outcome what was known before the experiment, so that the same customers say more."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from app.stats.comparison.sums import Sums
from app.stats.estimate import StatsError, Undetermined


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Arms with the pre-period taken out, to be compared as any others.

    Parameters
    ----------
    arms : tuple of Sums
        Of the adjusted outcome, in the order given.
    theta : float
        How much the outcome grows with the covariate.
    variance_explained : float
        The share of the outcome's variance within arms that is gone, 0..1: the interval is shorter by about
        :math:`1 - \\sqrt{1 - v}`.
    """

    arms: tuple[Sums, ...]
    theta: float
    variance_explained: float


def adjusted(arms: Sequence[Sums], *, theta_from: Sequence[Sums] | None = None) -> Adjusted | Undetermined:
    r"""Subtract from every outcome what the pre-period covariate explains of it.

    :math:`y' = y - \theta (x - \bar x)` with the covariate's mean over all arms and :math:`\theta` the pooled within-arm
    regression slope :math:`\sum_k (n_k - 1) s_{xy,k} / \sum_k (n_k - 1) s_{x,k}^2`. As x is known before assignment, it
    cannot differ between arms but by chance, and y' has the mean of y in expectation.

    Parameters
    ----------
    arms : sequence of Sums
        At least one; each with its covariate beside the outcome.
    theta_from : sequence of Sums, optional
        The arms that theta is estimated from, where these are not all; the arms themselves by default.

    Returns
    -------
    Adjusted or Undetermined
        ``Undetermined("no_exposures", n)`` where an arm is empty, ``("zero_variance", n)`` where the covariate does not
        vary (nobody had a past): compare unadjusted.

    Raises
    ------
    StatsError
        If there is no arm.

    References
    ----------
    Deng, A., Xu, Y., Kohavi, R. and Walker, T. (2013). Improving the sensitivity of online controlled experiments by
    utilizing pre-experiment data. WSDM, 123-132, section 3.2.

    Examples
    --------
    Outcomes that follow the past but for the effect of 5:

    >>> found = adjusted([Sums.of([15, 25, 35], beside=[10, 20, 30]), Sums.of([30, 40, 52], beside=[30, 40, 50])])
    >>> round(found.theta, 4), round(found.variance_explained, 4)
    (1.05, 0.9962)
    >>> round(float(found.arms[0].mean - found.arms[1].mean), 4)
    5.3333
    """
    if not arms:
        raise StatsError("without an arm there is nothing to adjust")
    together = sum(arms[1:], arms[0])
    if min(arm.n for arm in arms) == 0:
        return Undetermined("no_exposures", together.n)
    sources = [arm for arm in (arms if theta_from is None else theta_from) if arm.n > 1]
    below = sum(((arm.n - 1) * arm.beside_variance for arm in sources), Fraction(0))
    if below == 0:
        return Undetermined("zero_variance", together.n)
    theta = sum(((arm.n - 1) * arm.covariance for arm in sources), Fraction(0)) / below
    middle = together.beside_mean
    found = tuple(arm.combined(shift=theta * middle, own=1, beside=-theta) for arm in arms)
    before, after = _within(arms), _within(found)
    explained = float(1 - after / before) if before else 0.0
    return Adjusted(found, float(theta), max(explained, 0.0))


def _within(arms: Sequence[Sums]) -> Fraction:
    return sum(((arm.n - 1) * arm.variance for arm in arms if arm.n > 1), Fraction(0))
