"""How well a score ranks those whom it will happen to before the others, whatever its numbers mean."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from app.stats.comparison.proportions import ratio_limits
from app.stats.estimate import Estimate, Reason, StatsError, Undetermined, check_level
from app.stats.scored import Floats, logit_interval, scored


def roc_auc(probabilities: ArrayLike, outcomes: ArrayLike, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Give the probability that one to whom it happened scores higher than one to whom it did not.

    The area under the receiver operating characteristic, ties counting one half, with DeLong's variance: with
    :math:`V_{10}(i)` the share of negatives below positive i and :math:`V_{01}(j)` the share of positives above
    negative j, :math:`\mathrm{var} = s^2_{10} / P + s^2_{01} / N`. Both shares follow from one sort. The interval is
    made on the log odds, so that it stays within 0..1.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Any finite scores, higher for those expected to have the outcome.
    outcomes : array_like of bool, shape (n,)
        What happened.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        0..1, .5 for a score that knows nothing; ``method="delong"``. Without an interval where a class has one member
        (``too_few_positives``, ``too_few``) or the classes are ranked without any variation (``zero_variance``,
        e.g. perfectly). ``Undetermined("zero_denominator", 0)`` for no observation, ``("one_class", n)`` where
        everyone or no one had the outcome.

    Raises
    ------
    StatsError
        If the arrays are no scores and outcomes, or `level` is outside (0, 1).

    References
    ----------
    DeLong, E. R., DeLong, D. M. and Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach. Biometrics 44(3), 837-845.
    Sun, X. and Xu, W. (2014). Fast implementation of DeLong's algorithm. IEEE Signal Processing Letters 21(11),
    1389-1393 (by sorting).

    Examples
    --------
    Of the 2 x 2 pairs, three are in order:

    >>> area = roc_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    >>> area.value, round(area.low, 3), round(area.high, 3)
    (0.75, 0.069, 0.992)
    >>> roc_auc([0.1, 0.4], [True, True])
    Undetermined(reason='one_class', n=2)
    """
    check_level(level)
    steps = _steps(probabilities, outcomes)
    if isinstance(steps, Undetermined):
        return steps
    positives, negatives = steps.positives.sum(), steps.negatives.sum()
    beaten = (negatives - steps.negatives.cumsum() + steps.negatives / 2) / negatives
    beating = (steps.positives.cumsum() - steps.positives / 2) / positives
    area = min(float(steps.positives @ beaten / positives), 1.0)
    if positives < 2 or negatives < 2:
        reason: Reason = "too_few_positives" if positives < 2 else "too_few"
        return Estimate(area, None, None, level, "delong", steps.n, reason)
    of_positives = steps.positives @ (beaten - area) ** 2 / (positives - 1)
    of_negatives = steps.negatives @ (beating - area) ** 2 / (negatives - 1)
    variance = float(of_positives / positives + of_negatives / negatives)
    return logit_interval(area, variance, level=level, method="delong", n=steps.n)


def average_precision(probabilities: ArrayLike, outcomes: ArrayLike, *, level: float = 0.95) -> Estimate | Undetermined:
    r"""Give the precision met on the way down the ranking, averaged over those to whom it happened.

    :math:`AP = \frac{1}{P} \sum_{i \text{ positive}} \mathrm{precision}(s_i)`, the area under the precision-recall
    curve without the interpolation that flatters; customers of one score are reached together. Its chance level is
    the base rate, not one half. The variance is the infinitesimal jackknife's: the sum of the squared influences of
    the single customers, all of which follow from running sums over the ranking; no resampling, no seed. The base
    rate counts as sampled too. The interval is made on the log odds, so that it stays within 0..1.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Any finite scores, higher for those expected to have the outcome.
    outcomes : array_like of bool, shape (n,)
        What happened.
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        0..1; ``method="infinitesimal_jackknife"``. Without an interval for one positive (``too_few_positives``) and
        for a perfect ranking (``zero_variance``). Undetermined as `roc_auc`.

    Raises
    ------
    StatsError
        If the arrays are no scores and outcomes, or `level` is outside (0, 1).

    References
    ----------
    Boyd, K., Eng, K. H. and Page, C. D. (2013). Area under the precision-recall curve: point estimates and confidence
    intervals. ECML PKDD, 451-466 (average precision as estimator, the logit interval).
    Efron, B. (1982). The Jackknife, the Bootstrap and Other Resampling Plans, chapter 6 (infinitesimal jackknife).

    Examples
    --------
    Precision is 1 at the first positive and 2/3 at the second:

    >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [False, False, True, True]).value, 4)
    0.8333
    """
    check_level(level)
    steps = _steps(probabilities, outcomes)
    if isinstance(steps, Undetermined):
        return steps
    positives = steps.positives.sum()
    reached = (steps.positives + steps.negatives).cumsum()
    precision = steps.positives.cumsum() / reached
    value = min(float(steps.positives @ precision / positives), 1.0)
    if positives < 2:
        return Estimate(value, None, None, level, "infinitesimal_jackknife", steps.n, "too_few_positives")
    # One customer more at a step moves the precision there and at every step below.
    as_positive = precision - value + _from_below(steps.positives * (1 - precision) / reached)
    as_negative = -_from_below(steps.positives * precision / reached)
    squares = float(steps.positives @ as_positive**2 + steps.negatives @ as_negative**2)
    variance = squares / positives**2 * steps.n / (steps.n - 1)
    return logit_interval(value, float(variance), level=level, method="infinitesimal_jackknife", n=steps.n)


def lift(
    probabilities: ArrayLike, outcomes: ArrayLike, *, share: float = 0.1, level: float = 0.95
) -> Estimate | Undetermined:
    r"""Say how many times the base rate is reached among the highest-scored share of customers.

    With rates :math:`p_1` in the top share s and :math:`p_0` in the rest, lift is
    :math:`\rho / (s \rho + 1 - s)`, :math:`\rho = p_1 / p_0`: it grows with the ratio of the two rates, so the score
    interval of that ratio becomes its own. Where the cut falls into customers of one score, their outcomes are
    shared out in proportion, which is what a random order among them gives on average.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Any finite scores, higher for those expected to have the outcome.
    outcomes : array_like of bool, shape (n,)
        What happened.
    share : float, default 0.1
        The part of all customers looked at, in (0, 1).
    level : float, default 0.95
        Confidence level, in (0, 1).

    Returns
    -------
    Estimate or Undetermined
        0 to the smaller of 1 / `share` and 1 / base rate; 1 is chance; ``method="koopman"``.
        ``Undetermined("too_few", n)`` where the share is less than one customer or all but less than one; else as
        `roc_auc`.

    Raises
    ------
    StatsError
        If the arrays are no scores and outcomes, or `share` or `level` is outside (0, 1).

    References
    ----------
    Koopman, P. A. R. (1984). Confidence intervals for the ratio of two binomial proportions. Biometrics 40(2),
    513-517.

    Examples
    --------
    >>> lift([0.9, 0.8, 0.3, 0.2], [True, False, True, False], share=0.25).value
    2.0
    """
    check_level(level)
    if not 0.0 < share < 1.0:
        raise StatsError(f"share is a part of all, strictly between 0 and 1, not {share}")
    steps = _steps(probabilities, outcomes)
    if isinstance(steps, Undetermined):
        return steps
    top = share * steps.n
    if top < 1 or steps.n - top < 1:
        return Undetermined("too_few", steps.n)
    positives = float(steps.positives.sum())
    # What interpolation leaves of a customer by rounding is nobody.
    hits = min(round(_hits(steps, top), 9), top, positives)
    value = hits / top / (positives / steps.n)
    low, high = ratio_limits((hits, top), (min(round(positives - hits, 9), steps.n - top), steps.n - top), level=level)
    ends = [1 / (share + (1 - share) / ratio) if ratio > 0 else 0.0 for ratio in (low, high)]
    return Estimate(value, min(ends[0], value), max(ends[1], value), level, "koopman", steps.n)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The ranking from the highest score down, customers of one score together: all that the order of scores tells."""

    positives: Floats
    negatives: Floats
    n: int


def _steps(scores: ArrayLike, outcomes: ArrayLike) -> _Steps | Undetermined:
    numbers, happened = scored(scores, outcomes)
    n = int(numbers.size)
    if n == 0:
        return Undetermined("zero_denominator", 0)
    if happened.min() == happened.max():
        return Undetermined("one_class", n)
    order = np.argsort(-numbers)
    ranked = numbers[order]
    first = np.concatenate(([0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1))
    positives = np.add.reduceat(happened[order], first)
    sizes = np.diff(first, append=n)
    return _Steps(positives, sizes - positives, n)


def _from_below(values: Floats) -> Floats:
    return values[::-1].cumsum()[::-1]


def _hits(steps: _Steps, top: float) -> float:
    reached = (steps.positives + steps.negatives).cumsum()
    return float(np.interp(top, np.concatenate(([0.0], reached)), np.concatenate(([0.0], steps.positives.cumsum()))))
