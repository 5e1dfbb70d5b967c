"""Whether customers came into the arms as configured: where not, no other figure of an experiment can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtrc

from app.stats.estimate import StatsError, Undetermined


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """How well the counts of arms fit their shares.

    Parameters
    ----------
    chi_square : float
        Pearson's statistic, at least 0.
    degrees_of_freedom : int
        Arms in use less one.
    p_value : float
        Of counts at least as far off by chance alone. Below .001 or so the assignment is broken, as this test is looked
        at for every experiment.
    n : int
        Customers in the arms compared.
    """

    chi_square: float
    degrees_of_freedom: int
    p_value: float
    n: int


def sample_ratio(counts: Sequence[int], weights: Sequence[float]) -> SampleRatio | Undetermined:
    r"""Test the counts of arms against their configured shares.

    Pearson's :math:`\sum (n_k - e_k)^2 / e_k`, :math:`e_k = n w_k / \sum w`. Arms of weight 0 (closed, or pushed by
    others) are left out with their customers.

    Parameters
    ----------
    counts : sequence of int
        Customers by arm.
    weights : sequence of float
        The configured shares, in any unit; not negative.

    Returns
    -------
    SampleRatio or Undetermined
        ``Undetermined("no_exposures", 0)`` for no customer, ``("too_few", n)`` for fewer than two arms in use.

    Raises
    ------
    StatsError
        If counts and weights differ in number, or one is negative or not finite.

    References
    ----------
    Pearson, K. (1900). On the criterion that a given system of deviations from the probable ... Philosophical Magazine
    50, 157-175.
    Fabijan, A. et al. (2019). Diagnosing sample ratio mismatch in online controlled experiments. KDD, 2156-2164.

    Examples
    --------
    >>> found = sample_ratio([44700, 45489, 0], [0.5, 0.5, 0.0])
    >>> round(found.chi_square, 4), round(found.p_value, 5)
    (6.9024, 0.00861)
    """
    if len(counts) != len(weights):
        raise StatsError(f"{len(counts)} counts cannot be compared with {len(weights)} shares")
    if not all(count >= 0 for count in counts) or not all(0.0 <= weight < float("inf") for weight in weights):
        raise StatsError("counts and shares of arms are not negative and finite")
    used = [(int(count), float(weight)) for count, weight in zip(counts, weights, strict=True) if weight > 0]
    n, whole = sum(count for count, _ in used), sum(weight for _, weight in used)
    if n == 0 or len(used) < 2:
        return Undetermined("too_few" if n else "no_exposures", n)
    expected = [n * weight / whole for _, weight in used]
    statistic = sum((count - mean) ** 2 / mean for (count, _), mean in zip(used, expected, strict=True))
    freedom = len(used) - 1
    return SampleRatio(statistic, freedom, float(chdtrc(freedom, statistic)), n)
