"""Judges a segmentation by itself: how apart and how tight its segments are, how large, and whether it would recur."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.ml.columns import Floats, Integers
from app.stats.agreement import adjusted_rand_index

# Pairs grow with the square: 10,000 customers are 100 million distances.
MOST_COMPARED = 10_000
BLOCK = 1_000
# Squares of what doubles cannot tell apart: so little variance within segments is none.
ROUNDING = 1e-20

Undefined = Literal["one_segment", "too_few", "zero_variance", "not_refitted"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, or the reason why there is none, and of how many customers it is.

    Parameters
    ----------
    value : float or None
    reason : str or None
        Set exactly where `value` is None.
    n : int
        Customers it was computed from.
    sampled : bool
        Whether these are a sample of more.
    """

    value: float | None
    reason: Undefined | None = None
    n: int = 0
    sampled: bool = False


def silhouette(points: Floats, labels: Integers, *, seed: int = 0, most: int = MOST_COMPARED) -> Figure:
    """Give the mean silhouette: how much nearer customers are to their own segment than to the next.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns)
        Places in the space of the model.
    labels : ndarray of int64, shape (n,)
        Segments; -1 is left out.
    seed : int
        Of the sample.
    most : int, default 10,000
        Beyond this many customers a sample is compared.

    Returns
    -------
    Figure
        In -1..1. None for fewer than two segments ("one_segment") or as many segments as customers ("too_few").

    References
    ----------
    Rousseeuw, P. J. (1987). Silhouettes: a graphical aid to the interpretation and validation of cluster analysis.
    Journal of Computational and Applied Mathematics 20, 53-65.

    Examples
    --------
    >>> round(silhouette(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])).value, 4)
    0.8997
    """
    return silhouettes(points, [labels], seed=seed, most=most)[0]


def silhouettes(
    points: Floats, labelings: Sequence[Integers], *, seed: int = 0, most: int = MOST_COMPARED
) -> list[Figure]:
    """Give the silhouettes of several groupings of the same customers, for little more than the price of one.

    Parameters
    ----------
    points, seed, most
        As for `silhouette`.
    labelings : sequence of ndarray of int64, shape (n,)
        Each one grouping.

    Returns
    -------
    list of Figure
        One per grouping.
    """
    chosen = _sample(points.shape[0], most, seed)
    sample, groupings = points[chosen], [labels[chosen] for labels in labelings]
    members = [_membership(labels) for labels in groupings]
    sums = _distance_sums(sample, np.hstack([np.empty((chosen.size, 0)), *members]))
    found, at = [], 0
    for labels, member in zip(groupings, members, strict=True):
        found.append(_silhouette(sums[:, at : at + member.shape[1]], labels, sampled=chosen.size < points.shape[0]))
        at += member.shape[1]
    return found


def _sample(n: int, most: int, seed: int) -> Integers:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size=most, replace=False))


def _membership(labels: Integers) -> Floats:
    return np.equal(labels[:, np.newaxis], np.arange(labels.max(initial=-1) + 1)).astype(np.float64)


def _distance_sums(points: Floats, members: Floats) -> Floats:
    sums = np.empty(members.shape)
    squares = (points**2).sum(axis=1)
    for start in range(0, points.shape[0], BLOCK):
        part = points[start : start + BLOCK]
        distances = part @ points.T
        distances *= -2.0
        distances += squares
        distances += squares[start : start + BLOCK, np.newaxis]
        np.maximum(distances, 0.0, out=distances)
        own = np.arange(part.shape[0])
        distances[own, start + own] = 0.0
        np.sqrt(distances, out=distances)
        sums[start : start + BLOCK] = distances @ members
    return sums


def _silhouette(sums: Floats, labels: Integers, *, sampled: bool) -> Figure:
    inside = np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[inside], minlength=sums.shape[1]).astype(np.float64)
    reason = _undefined(sizes, inside.size)
    if reason:
        return Figure(None, reason, inside.size, sampled)
    own = labels[inside]
    means = sums[inside] / np.maximum(sizes, 1.0)
    means[:, sizes == 0] = np.inf
    at = np.arange(inside.size)
    tight = means[at, own] * sizes[own] / np.maximum(sizes[own] - 1.0, 1.0)
    means[at, own] = np.inf
    apart: Floats = means.min(axis=1)
    widths = (apart - tight) / np.maximum(np.maximum(apart, tight), 1e-300)
    # Rousseeuw's convention: alone in a segment is 0.
    widths[sizes[own] == 1.0] = 0.0
    return Figure(float(widths.mean()), None, inside.size, sampled)


def _undefined(sizes: Floats, n: int) -> Undefined | None:
    segments = int((sizes > 0).sum())
    if segments < 2:
        return "one_segment"
    return "too_few" if segments >= n else None


def davies_bouldin(points: Floats, labels: Integers) -> Figure:
    """Give the mean, over segments, of the worst ratio of the spread of two segments to the distance of their centres.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns)
        Places in the space of the model.
    labels : ndarray of int64, shape (n,)
        Segments; -1 is left out.

    Returns
    -------
    Figure
        At least 0, lower is better. None for fewer than two segments ("one_segment"), as many as customers
        ("too_few"), or two segments with one centre ("zero_variance").

    References
    ----------
    Davies, D. L. and Bouldin, D. W. (1979). A cluster separation measure. IEEE Transactions on Pattern Analysis and
    Machine Intelligence 1(2), 224-227.

    Examples
    --------
    >>> round(davies_bouldin(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])).value, 4)
    0.1
    """
    inside, codes, sizes, centres = _groups(points, labels)
    reason = _undefined(sizes, inside.shape[0])
    if reason:
        return Figure(None, reason, inside.shape[0])
    away = np.sqrt(((inside - centres[codes]) ** 2).sum(axis=1))
    spread = np.bincount(codes, weights=away) / sizes
    apart = np.sqrt(((centres[:, np.newaxis] - centres) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    if (apart == 0).any():
        return Figure(None, "zero_variance", inside.shape[0])
    return Figure(float(((spread[:, np.newaxis] + spread) / apart).max(axis=1).mean()), None, inside.shape[0])


def calinski_harabasz(points: Floats, labels: Integers) -> Figure:
    """Give the ratio of the variance between segments to the variance within them, each per degree of freedom.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns)
        Places in the space of the model.
    labels : ndarray of int64, shape (n,)
        Segments; -1 is left out.

    Returns
    -------
    Figure
        At least 0, higher is better. None for fewer than two segments ("one_segment"), as many as customers
        ("too_few"), or segments without spread ("zero_variance").

    References
    ----------
    Calinski, T. and Harabasz, J. (1974). A dendrite method for cluster analysis. Communications in Statistics 3(1),
    1-27.

    Examples
    --------
    >>> calinski_harabasz(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])).value
    200.0
    """
    inside, codes, sizes, centres = _groups(points, labels)
    n, k = inside.shape[0], sizes.size
    reason = _undefined(sizes, n)
    if reason:
        return Figure(None, reason, n)
    within = float(((inside - centres[codes]) ** 2).sum())
    between = float((sizes * ((centres - inside.mean(axis=0)) ** 2).sum(axis=1)).sum())
    if within <= ROUNDING * between:
        return Figure(None, "zero_variance", n)
    return Figure((between / (k - 1)) / (within / (n - k)), None, n)


def _groups(points: Floats, labels: Integers) -> tuple[Floats, Integers, Floats, Floats]:
    inside = labels >= 0
    found, codes = np.unique(labels[inside], return_inverse=True)
    part = points if inside.all() else points[inside]
    sizes = np.bincount(codes, minlength=found.size).astype(np.float64)
    sums = [np.bincount(codes, weights=column, minlength=found.size) for column in part.T]
    centres = np.column_stack([np.empty((found.size, 0)), *sums]) / np.maximum(sizes, 1.0)[:, np.newaxis]
    return part, codes.astype(np.int64), sizes, centres


def stability(
    points: Floats,
    labels: Integers,
    refit: Callable[[Floats, int], Integers],
    *,
    bootstraps: int = 10,
    seed: int = 0,
) -> Figure:
    """Say whether the same segments come back from resampled customers.

    The mean adjusted Rand index, over bootstraps, between the grouping at hand and one fitted to a resample, on the
    customers in both.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns)
        Places in the space of the model.
    labels : ndarray of int64, shape (n,)
        The grouping at hand.
    refit : callable
        From points, shape (m, columns), and a seed to labels, shape (m,).
    bootstraps : int, default 10
        At least 0.
    seed : int
        Of the resamples.

    Returns
    -------
    Figure
        At most 1. None without bootstraps ("not_refitted"), for fewer than two segments ("one_segment") or fewer than
        ten customers ("too_few").

    References
    ----------
    Hennig, C. (2007). Cluster-wise assessment of cluster stability. Computational Statistics and Data Analysis 52,
    258-271, section 3 (bootstrap). Hubert, L. and Arabie, P. (1985). Comparing partitions, equation 5.
    """
    n = points.shape[0]
    if bootstraps < 1:
        return Figure(None, "not_refitted", n)
    if n < 10:
        return Figure(None, "too_few", n)
    if np.unique(labels[labels >= 0]).size < 2:
        return Figure(None, "one_segment", n)
    random = np.random.default_rng(seed)
    agreements = []
    for _ in range(bootstraps):
        drawn = random.integers(0, n, size=n)
        refitted = refit(points[drawn], int(random.integers(2**31)))
        # Each customer once: those drawn twice would count as evidence twice.
        common, first = np.unique(drawn, return_index=True)
        agreement = adjusted_rand_index(labels[common], refitted[first])
        agreements += [agreement] if isinstance(agreement, float) else []
    return Figure(float(np.mean(agreements)), None, n) if agreements else Figure(None, "too_few", n)
