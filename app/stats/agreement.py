"""How far two ways to group the same things agree, beyond what chance would make them agree."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError, Undetermined


def adjusted_rand_index(one: ArrayLike, other: ArrayLike) -> float | Undetermined:
    r"""Say how far two groupings agree: 1 for the same groups under whatever names, 0 on average for unrelated ones.

    With :math:`n_{ij}` members in group i of the one and j of the other, sums :math:`a_i` and :math:`b_j`,
    :math:`ARI = \frac{\sum \binom{n_{ij}}{2} - E}{(\sum \binom{a_i}{2} + \sum \binom{b_j}{2}) / 2 - E}`,
    :math:`E = \sum \binom{a_i}{2} \sum \binom{b_j}{2} / \binom{n}{2}`. Sums of pairs are exact integers.

    Parameters
    ----------
    one, other : array_like of int, shape (n,)
        The group of each thing; any integers, their values mean nothing.

    Returns
    -------
    float or Undetermined
        At most 1; below 0 where they agree less than by chance. 1 where both put everything into one group, or
        everything into its own. ``Undetermined("too_few", n)`` for fewer than two things: there is no pair.

    Raises
    ------
    StatsError
        If the groupings differ in length or are not one-dimensional.

    References
    ----------
    Hubert, L. and Arabie, P. (1985). Comparing partitions. Journal of Classification 2, 193-218, equation 5.

    Examples
    --------
    >>> adjusted_rand_index([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    >>> round(adjusted_rand_index([0, 0, 1, 1], [0, 0, 1, 2]), 4)
    0.5714
    """
    first, second = _groups(one), _groups(other)
    if first.size != second.size:
        raise StatsError(f"groupings of {first.size} and {second.size} things cannot be compared")
    n = int(first.size)
    if n < 2:
        return Undetermined("too_few", n)
    columns = int(second.max()) + 1
    together = _pairs(np.bincount(first * columns + second))
    a, b = _pairs(np.bincount(first)), _pairs(np.bincount(second))
    every = n * (n - 1) // 2
    # Everything over `every`, in integers: only the last division rounds.
    above = together * every - a * b
    below = (a + b) * every - 2 * a * b
    return 1.0 if below == 0 else 2 * above / below


def _groups(labels: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1:
        raise StatsError(f"a grouping has one label per thing, not the shape {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise StatsError(f"labels are integers, not {array.dtype}")
    # Small non-negative labels are used as they are: sorting millions only to rename them is wasted.
    if array.size and array.min() >= 0 and array.max() < 1_000:
        return array.astype(np.int64)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _pairs(counts: NDArray[np.int64]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.tolist())
