"""What to believe of a difference, and what a wrong choice would cost on average."""

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from app.stats.comparison.difference import Difference
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level


@dataclass(frozen=True, slots=True)
class Prior:
    """What was believed of the difference before: normal, in its unit.

    Parameters
    ----------
    mean : float
        Its centre; 0 for no side taken.
    standard_deviation : float
        Its width, above 0: about two thirds of all experiments of the kind lie within one of it.

    Raises
    ------
    StatsError
        If the mean is not finite or the standard deviation not positive and finite.
    """

    mean: float
    standard_deviation: float

    def __post_init__(self) -> None:
        """Refuse what is no normal law."""
        if not (math.isfinite(self.mean) and 0.0 < self.standard_deviation < math.inf):
            raise StatsError("a prior has a finite mean and a positive standard deviation")


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of the difference now.

    Parameters
    ----------
    difference : Estimate
        Posterior mean with its credible interval, ``method="normal_posterior"``.
    chance_to_win : float
        Probability that the treated arm is better (the difference is positive), 0..1.
    loss_if_chosen : float
        What is lost on average by taking the treatment, counting only where it is worse; at least 0, in the unit of the
        difference.
    loss_if_rejected : float
        The same for keeping control.
    """

    difference: Estimate
    chance_to_win: float
    loss_if_chosen: float
    loss_if_rejected: float


def posterior(difference: Difference, *, prior: Prior | None = None, level: float = 0.95) -> Posterior | Undetermined:
    r"""Give the normal posterior of a difference.

    Prior and data weigh by their precisions. With mean m and standard deviation s, chance to win is
    :math:`\Phi(m / s)` and the expected loss of choosing :math:`s \varphi(m / s) - m \Phi(-m / s)`.

    Parameters
    ----------
    difference : Difference
        Effect or lift; positive is better (turn the sign where less is).
    prior : Prior, optional
        What was believed before; flat by default, which believes any size and is best for no decision that matters:
        a prior from past experiments is better.
    level : float, default 0.95
        Probability of the credible interval, in (0, 1).

    Returns
    -------
    Posterior or Undetermined
        ``Undetermined("zero_variance", n)`` where the standard error is 0.

    Raises
    ------
    StatsError
        If `level` is outside (0, 1).

    References
    ----------
    Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd ed., section 2.5.
    Stucchio, C. (2015). Bayesian A/B Testing at VWO, section 4 (expected loss).

    Examples
    --------
    >>> found = posterior(Difference(1.0, 1.0, math.inf, 50, "welch"), prior=Prior(0.0, 1.0))
    >>> found.difference.value, round(found.chance_to_win, 4), round(found.loss_if_chosen, 4)
    (0.5, 0.7602, 0.0998)
    """
    check_level(level)
    if difference.standard_error == 0.0:
        return Undetermined("zero_variance", difference.n)
    mean, spread = difference.value, difference.standard_error
    if prior is not None:
        share = prior.standard_deviation**2 / (prior.standard_deviation**2 + spread**2)
        mean, spread = share * mean + (1 - share) * prior.mean, math.sqrt(share) * spread
    half = float(ndtri((1 + level) / 2)) * spread
    estimate = Estimate(mean, mean - half, mean + half, level, "normal_posterior", difference.n)
    return Posterior(estimate, float(ndtr(mean / spread)), _loss(mean, spread), _loss(-mean, spread))


def _loss(mean: float, spread: float) -> float:
    z = mean / spread
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    # Far in the tail the two terms are equal to the last digit: then the loss is 0.
    return max(spread * density - mean * float(ndtr(-z)), 0.0)
