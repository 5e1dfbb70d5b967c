"""Whether today's customers still look like those a model learned from."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from app.stats.estimate import StatsError, Undetermined, check_level
from app.stats.scored import Floats

Integers = NDArray[np.int64]
Verdict = Literal["stable", "shifting", "shifted"]

SHIFTING = 0.1
SHIFTED = 0.25
# What stands in an empty cell: half a customer, less than any cell that anyone was seen in.
IN_AN_EMPTY_CELL = 0.5


def quantile_edges(values: ArrayLike, bins: int = 10) -> Floats:
    """Give the inner edges that cut values into cells of about equal count.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        What was seen in training, in any unit; NaN is a missing value and left out.
    bins : int, default 10
        Number of cells aimed at, at least 2.

    Returns
    -------
    ndarray of float64, shape (k,)
        k < `bins` increasing edges, each itself a value seen; fewer where many values are equal, none where there is one
        value or no value.

    Raises
    ------
    StatsError
        If `values` is not one-dimensional or `bins` is below 2.

    Examples
    --------
    >>> quantile_edges([1, 2, 3, 4, 5, 6, 7, 8], 4)
    array([3., 5., 7.])
    >>> quantile_edges([0, 0, 0, 0, 0, 0, 0, 9], 4)
    array([9.])
    """
    if bins < 2:
        raise StatsError(f"values are compared in at least two cells, not {bins}")
    known = np.sort(_known(values))
    if known.size == 0:
        return known
    quantiles = known[(known.size * np.arange(1, bins)) // bins]
    distinct = np.unique(quantiles)
    # An edge at the least value would leave nothing below it: its many equals are a cell of their own.
    above = known[np.searchsorted(known, distinct[0], side="right") :]
    if distinct[0] == known[0]:
        distinct = np.unique(np.append(distinct[1:], above[:1]))
    return distinct


def counts_in_cells(values: ArrayLike, edges: ArrayLike) -> Integers:
    """Count values by cell: below the first edge, from each edge on, and last the missing ones.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Values; NaN is a missing one.
    edges : array_like of float, shape (k,)
        Increasing inner edges; a value equal to one belongs to the cell above it.

    Returns
    -------
    ndarray of int64, shape (k + 2,)
        k + 1 cells, then the missing. They sum to n.

    Raises
    ------
    StatsError
        If an array is not one-dimensional or the edges do not increase.

    Examples
    --------
    >>> counts_in_cells([1, 3, 3, 9, float("nan")], [3, 5])
    array([1, 2, 1, 1])
    """
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or not (np.diff(limits) > 0).all():
        raise StatsError("edges of cells are increasing numbers")
    known = _known(values)
    cells = np.bincount(np.searchsorted(limits, known, side="right"), minlength=limits.size + 1)
    return np.append(cells, np.size(values) - known.size).astype(np.int64)


def counts_of_categories(values: Sequence[str | None], categories: Sequence[str]) -> Integers:
    """Count values by category: the known ones in their order, then all unknown ones together, last the missing.

    Parameters
    ----------
    values : sequence of str or None, length n
        Values; None is a missing one.
    categories : sequence of str, length k
        Those seen in training, each once.

    Returns
    -------
    ndarray of int64, shape (k + 2,)
        They sum to n.

    Raises
    ------
    StatsError
        If a category stands twice.

    Examples
    --------
    >>> counts_of_categories(["web", "shop", "fax", None, "web"], ["shop", "web"])
    array([1, 2, 1, 1])
    """
    place: dict[str | None, int] = {category: index for index, category in enumerate(categories)}
    if len(place) != len(categories):
        raise StatsError("a category stands once")
    place[None] = len(categories) + 1
    cells = np.fromiter((place.get(value, len(categories)) for value in values), np.int64, len(values))
    return np.bincount(cells, minlength=len(categories) + 2).astype(np.int64)


def population_stability_index(expected_counts: ArrayLike, observed_counts: ArrayLike) -> float | Undetermined:
    r"""Say how far the shares of cells have moved: 0 for not at all.

    :math:`PSI = \sum_c (q_c - p_c) \ln(q_c / p_c)` for shares p then and q now, the symmetrised Kullback-Leibler
    divergence in nats. A cell empty both times counts nothing. In a cell that is empty once stands half a customer, so
    that the logarithm is finite and 3 customers in a cell new to 1,000,000 are no shift, while 30 % of them are.

    Parameters
    ----------
    expected_counts, observed_counts : array_like of float, shape (k,)
        Customers by cell, then and now; not negative.

    Returns
    -------
    float or Undetermined
        At least 0. ``Undetermined("zero_denominator", n)`` where one of the two samples is empty.

    Raises
    ------
    StatsError
        If the counts differ in shape, or one is negative or not finite.

    References
    ----------
    Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. Annals of Mathematical Statistics 22, 79-86
    (the divergence J).
    Siddiqi, N. (2006). Credit Risk Scorecards, chapter 8 (as stability index).

    Examples
    --------
    >>> round(population_stability_index([20, 80], [40, 60]), 4)
    0.1962
    """
    then, now = _counts(expected_counts), _counts(observed_counts)
    if then.size != now.size:
        raise StatsError(f"{then.size} cells cannot be compared with {now.size}")
    if not then.any() or not now.any():
        return Undetermined("zero_denominator", int(then.sum() + now.sum()))
    used = (then > 0) | (now > 0)
    then, now = (np.where(counts[used] > 0, counts[used], IN_AN_EMPTY_CELL) for counts in (then, now))
    p, q = then / then.sum(), now / now.sum()
    return max(float((q - p) @ np.log(q / p)), 0.0)


def chance_shift(expected_n: int, observed_n: int, *, cells: int, level: float = 0.95) -> float:
    r"""Give the index that chance alone stays below at the stated rate, where nothing has moved.

    Without a shift :math:`PSI / (1/n + 1/m)` is distributed as chi-square with `cells` - 1 degrees of freedom: with
    twice 100 customers in 10 cells, .1 is reached by chance more often than not. A shift should be reported only above this.

    Parameters
    ----------
    expected_n, observed_n : int
        Sizes n and m of the two samples, at least 1.
    cells : int
        Number of cells in use, at least 2.
    level : float, default 0.95
        Probability of staying below, in (0, 1).

    Returns
    -------
    float
        In the unit of the index.

    Raises
    ------
    StatsError
        If a sample is empty, there are fewer than two cells or `level` is outside (0, 1).

    References
    ----------
    Yurdakul, B. (2018). Statistical Properties of Population Stability Index. Dissertation, Western Michigan
    University.

    Examples
    --------
    The 95 % point of chi-square with 9 degrees of freedom is 16.919:

    >>> round(chance_shift(1000, 1000, cells=10), 5)
    0.03384
    """
    check_level(level)
    if expected_n < 1 or observed_n < 1 or cells < 2:
        raise StatsError("chance shifts two samples of at least one customer in at least two cells")
    return float(chdtri(cells - 1, 1 - level)) * (1 / expected_n + 1 / observed_n)


def verdict(psi: float) -> Verdict:
    """Say what an index means by the rule of thumb of credit scoring.

    Parameters
    ----------
    psi : float
        A population stability index, at least 0.

    Returns
    -------
    str
        ``"stable"`` below .1, ``"shifting"`` from there (look at it), ``"shifted"`` from .25 (retrain).

    Raises
    ------
    StatsError
        If `psi` is negative or NaN.

    References
    ----------
    Siddiqi, N. (2006). Credit Risk Scorecards, chapter 8. A convention, not a test: see `chance_shift`.

    Examples
    --------
    >>> verdict(0.04), verdict(0.1), verdict(0.3)
    ('stable', 'shifting', 'shifted')
    """
    if not psi >= 0.0:
        raise StatsError(f"a stability index is not negative, but this one is {psi}")
    if psi < SHIFTING:
        return "stable"
    return "shifting" if psi < SHIFTED else "shifted"


def _known(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise StatsError(f"values are a list of numbers, not an array of shape {array.shape}")
    known: Floats = array[~np.isnan(array)]
    return known


def _counts(counts: ArrayLike) -> Floats:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or (array < 0).any():
        raise StatsError("counts by cell are a list of finite numbers, none negative")
    return array
