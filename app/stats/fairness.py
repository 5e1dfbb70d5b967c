"""Whether a score treats groups of people alike: who is chosen, and who is missed or chosen wrongly, by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.comparison.proportions import difference, ratio_limits
from app.stats.estimate import Estimate, StatsError, Undetermined, check_level
from app.stats.proportion import proportion_interval
from app.stats.scored import Floats, mean_of, predicted

Rate = Literal[
    "selection_rate", "true_positive_rate", "false_positive_rate", "positive_predictive_value", "observed_rate"
]
RATES: tuple[Rate, ...] = (
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "positive_predictive_value",
    "observed_rate",
)
FOUR_FIFTHS = 0.8


@dataclass(frozen=True, slots=True)
class GroupRates:
    """What a score does to one group.

    Parameters
    ----------
    group : str
        Its name.
    n, positives : int
        Members, and those of them to whom it happened.
    selection_rate : Estimate or Undetermined
        The share with a probability at the threshold or above (demographic parity compares these).
    true_positive_rate : Estimate or Undetermined
        Of those to whom it happened, the share selected (equal opportunity compares these).
    false_positive_rate : Estimate or Undetermined
        Of the others, the share selected (with the one above: equalised odds).
    positive_predictive_value : Estimate or Undetermined
        Of those selected, the share to whom it happened (predictive parity).
    mean_probability : Estimate or Undetermined
        What was expected on average.
    observed_rate : Estimate or Undetermined
        The share to whom it happened (the base rate of the group).
    calibration_gap : Estimate or Undetermined
        Mean of outcome less probability: above 0 where the score expects too little of this group.
    """

    group: str
    n: int
    positives: int
    selection_rate: Estimate | Undetermined
    true_positive_rate: Estimate | Undetermined
    false_positive_rate: Estimate | Undetermined
    positive_predictive_value: Estimate | Undetermined
    mean_probability: Estimate | Undetermined
    observed_rate: Estimate | Undetermined
    calibration_gap: Estimate | Undetermined


@dataclass(frozen=True, slots=True)
class GroupGap:
    """How far one rate of a group lies from that of the reference group.

    Parameters
    ----------
    group, reference : str
        The two groups; the reference is the largest.
    rate : str
        Which rate.
    difference : Estimate or Undetermined
        Group less reference, with Newcombe's interval.
    ratio : Estimate or Undetermined
        Group over reference, with Koopman's interval; undetermined (``zero_denominator``) where the reference's rate is 0.
    four_fifths : bool or None
        Of the selection rate only: whether the smaller of the two rates is at least four fifths of the larger, the rule
        of thumb of the US guidelines (a sign to look closer at, no proof of anything); else None.
    """

    group: str
    reference: str
    rate: Rate
    difference: Estimate | Undetermined
    ratio: Estimate | Undetermined
    four_fifths: bool | None


def group_rates(
    groups: Sequence[str] | NDArray[np.str_],
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    threshold: float,
    level: float = 0.95,
) -> list[GroupRates]:
    """Give the rates by which fairness is judged, for each group.

    No score can have all of them equal where base rates differ and prediction is imperfect: which one must be is a
    decision of people. Leaving the group out of the features does not make them equal, as others stand in for it.

    Parameters
    ----------
    groups : sequence of str, length n
        The group of each customer; a missing one needs a name too.
    probabilities : array_like of float, shape (n,)
        In 0..1.
    outcomes : array_like of bool, shape (n,)
        What happened.
    threshold : float
        The probability from which a customer is selected, in 0..1.
    level : float, default 0.95
        Confidence level of each interval, in (0, 1).

    Returns
    -------
    list of GroupRates
        From the largest group down, by name among equals; empty for no customer. Shares have Wilson intervals, means
        Student's t; a rate of nobody is ``Undetermined("zero_denominator", 0)``.

    Raises
    ------
    StatsError
        If the arrays are no probabilities and outcomes or differ in length, or `threshold` or `level` is no such share.

    References
    ----------
    Hardt, M., Price, E. and Srebro, N. (2016). Equality of opportunity in supervised learning. NeurIPS 29.
    Kleinberg, J., Mullainathan, S. and Raghavan, M. (2017). Inherent trade-offs in the fair determination of risk
    scores. ITCS, 43:1-43:23.
    Chouldechova, A. (2017). Fair prediction with disparate impact. Big Data 5(2), 153-163.

    Examples
    --------
    >>> large, small = group_rates(["a", "a", "a", "b"], [0.9, 0.6, 0.2, 0.7], [1, 0, 0, 1], threshold=0.5)
    >>> large.group, round(large.selection_rate.value, 4), large.false_positive_rate.value
    ('a', 0.6667, 0.5)
    >>> small.false_positive_rate
    Undetermined(reason='zero_denominator', n=0)
    """
    check_level(level)
    chances, happened = predicted(probabilities, outcomes)
    if not 0.0 <= threshold <= 1.0:
        raise StatsError(f"a threshold is a probability in 0..1, not {threshold}")
    if len(groups) != chances.size:
        raise StatsError(f"{len(groups)} groups cannot be those of {chances.size} customers")
    if chances.size == 0:
        return []
    names, places = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    order = np.argsort(places, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(places))[:-1])
    rates = [
        _rates(str(name), chances[ours], happened[ours], threshold=threshold, level=level)
        for name, ours in zip(names, members, strict=True)
    ]
    return sorted(rates, key=lambda row: (-row.n, row.group))


def gaps(rates: Sequence[GroupRates]) -> list[GroupGap]:
    """Compare every group with the largest, rate by rate.

    Parameters
    ----------
    rates : sequence of GroupRates
        As `group_rates` gives them.

    Returns
    -------
    list of GroupGap
        For each group but the reference, in the order given, each rate of `RATES`; empty for fewer than two groups. Both
        figures are Undetermined for the reason of the rate that is; the ratio also, with ``zero_denominator``, where the
        reference's rate is 0.

    Raises
    ------
    StatsError
        If the rates' intervals differ in level.

    References
    ----------
    Newcombe, R. G. (1998). Interval estimation for the difference between independent proportions: comparison of
    eleven methods. Statistics in Medicine 17, 873-890, method 10.
    Koopman, P. A. R. (1984). Confidence intervals for the ratio of two binomial proportions. Biometrics 40(2), 513-517.
    Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4 D (1978): the four-fifths rule.

    Examples
    --------
    >>> both = group_rates(["a"] * 5 + ["b"] * 4, [0.9, 0.6, 0.8, 0.7, 0.1] + [0.7, 0.1, 0.2, 0.6],
    ...                    [1, 0, 1, 0, 0, 1, 0, 1, 0], threshold=0.5)
    >>> gap = gaps(both)[0]
    >>> gap.rate, round(gap.difference.value, 2), round(gap.ratio.value, 3), gap.four_fifths
    ('selection_rate', -0.3, 0.625, False)
    """
    if not rates:
        return []
    reference = max(rates, key=lambda row: row.n)
    return [_gap(row, reference, rate) for row in rates if row is not reference for rate in RATES]


def _rates(name: str, chances: Floats, happened: Floats, *, threshold: float, level: float) -> GroupRates:
    selected, positive = chances >= threshold, happened == 1.0
    n, chosen, positives = int(chances.size), int(selected.sum()), int(positive.sum())
    hits = int((selected & positive).sum())

    def share(count: int, of: int) -> Estimate | Undetermined:
        return proportion_interval(count, of, level=level)

    return GroupRates(
        group=name,
        n=n,
        positives=positives,
        selection_rate=share(chosen, n),
        true_positive_rate=share(hits, positives),
        false_positive_rate=share(chosen - hits, n - positives),
        positive_predictive_value=share(hits, chosen),
        mean_probability=mean_of(chances, level=level),
        observed_rate=share(positives, n),
        calibration_gap=mean_of(happened - chances, level=level),
    )


def _gap(row: GroupRates, reference: GroupRates, rate: Rate) -> GroupGap:
    one, other = getattr(row, rate), getattr(reference, rate)
    ratio = _ratio(one, other)
    fair = _four_fifths(one, other) if rate == "selection_rate" else None
    return GroupGap(row.group, reference.group, rate, difference(one, other), ratio, fair)


def _ratio(one: Estimate | Undetermined, other: Estimate | Undetermined) -> Estimate | Undetermined:
    n = one.n + other.n
    if isinstance(one, Undetermined):
        return Undetermined(one.reason, n)
    if isinstance(other, Undetermined):
        return Undetermined(other.reason, n)
    if other.value == 0.0:
        return Undetermined("zero_denominator", n)
    low, high = ratio_limits(_counted(one), _counted(other), level=one.level)
    return Estimate(one.value / other.value, low, high, one.level, "koopman", n)


def _counted(share: Estimate) -> tuple[float, float]:
    return float(round(share.value * share.n)), float(share.n)


def _four_fifths(one: Estimate | Undetermined, other: Estimate | Undetermined) -> bool | None:
    if isinstance(one, Undetermined) or isinstance(other, Undetermined):
        return None
    return min(one.value, other.value) >= FOUR_FIFTHS * max(one.value, other.value)
