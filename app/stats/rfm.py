"""Recency, frequency and monetary scores by quintiles, with a tie rule that gives equal customers equal scores."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError

QUINTILES = (0.2, 0.4, 0.6, 0.8)
SCORES = 5


@dataclass(frozen=True, slots=True)
class RfmEdges:
    """The four inner quintile edges of each of the three RFM features: all that a fitted RFM segmentation keeps.

    Parameters
    ----------
    days_since_last_purchase : tuple of 4 floats
        Edges in days, not decreasing.
    purchase_count : tuple of 4 floats
        Edges in purchases, not decreasing.
    total_spend : tuple of 4 floats
        Edges in minor units of one currency, not decreasing.

    Raises
    ------
    StatsError
        If a feature has not four finite edges in order.

    Examples
    --------
    >>> edges = RfmEdges((7, 30, 90, 180), (1, 2, 3, 6), (2500, 5000, 9000, 20000))
    >>> RfmEdges.from_dict(edges.to_dict()) == edges
    True
    """

    days_since_last_purchase: tuple[float, ...]
    purchase_count: tuple[float, ...]
    total_spend: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse edges that would not cut fifths."""
        for field in fields(self):
            edges = tuple(float(edge) for edge in getattr(self, field.name))
            if len(edges) != len(QUINTILES) or not np.isfinite(edges).all() or list(edges) != sorted(edges):
                raise StatsError(f"{field.name} needs four finite edges in order, not {edges}")
            object.__setattr__(self, field.name, edges)

    def to_dict(self) -> dict[str, list[float]]:
        """Give the edges as plain lists by feature name, ready for JSON.

        Returns
        -------
        dict of str to list of 4 floats
            Keyed by feature name, in the order of the fields.

        Examples
        --------
        >>> RfmEdges((1, 2, 3, 4), (1, 1, 1, 2), (10, 20, 30, 40)).to_dict()["purchase_count"]
        [1.0, 1.0, 1.0, 2.0]
        """
        return {name: list(edges) for name, edges in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Sequence[float]]) -> Self:
        """Read back what `to_dict` gave.

        Parameters
        ----------
        stored : mapping of str to sequence of 4 floats
            The edges by feature name.

        Returns
        -------
        RfmEdges
            Equal to the one that was stored.

        Raises
        ------
        StatsError
            If a feature is missing or unknown, or its edges are not usable.

        Examples
        --------
        >>> RfmEdges.from_dict({"purchase_count": [1, 2, 3, 6]})
        Traceback (most recent call last):
        app.stats.estimate.StatsError: edges of ['days_since_last_purchase', 'total_spend'] are missing or unknown
        """
        strays = {field.name for field in fields(cls)} ^ stored.keys()
        if strays:
            raise StatsError(f"edges of {sorted(strays)} are missing or unknown")
        return cls(**{name: tuple(edges) for name, edges in stored.items()})


def quintile_edges(values: ArrayLike) -> NDArray[np.float64]:
    """Give the four values that cut a sample into fifths.

    Sample quantiles by linear interpolation between order statistics, Hyndman and Fan's type 7.

    Parameters
    ----------
    values : array_like of float, shape (n,), n >= 1
        One feature of n customers, in its own unit. Finite.

    Returns
    -------
    ndarray of float64, shape (4,)
        The quantiles at 0.2, 0.4, 0.6 and 0.8 in the unit of `values`, not decreasing. Equal edges mean that one
        value fills more than a fifth of the sample; some scores then go unused.

    Raises
    ------
    StatsError
        If `values` is empty, not one-dimensional or not finite. A sample with one value or more always has quantiles.

    References
    ----------
    Hyndman, R. J. and Fan, Y. (1996). Sample quantiles in statistical packages. The American Statistician 50(4),
    361-365, definition 7.

    Examples
    --------
    >>> quintile_edges([1, 2, 3, 4, 5, 6]).tolist()
    [2.0, 3.0, 4.0, 5.0]
    """
    sample = _feature("values", values)
    if sample.size == 0:
        raise StatsError("an empty sample has no quantiles")
    return np.quantile(sample, QUINTILES, method="linear")


def rfm_scores(
    days_since_last_purchase: ArrayLike, purchase_count: ArrayLike, total_spend: ArrayLike, edges: RfmEdges
) -> NDArray[np.int8]:
    """Score customers 1 (worst) to 5 (best) in recency, frequency and monetary value.

    A value scores 1 + the number of edges strictly below it, recency 5 - that number, for there fewer days are better.
    Equal values therefore always share a score, unlike scores by rank, which part ties by the order of the rows. A
    value equal to an edge belongs to the lower fifth.

    Parameters
    ----------
    days_since_last_purchase : array_like of float, shape (n,)
        Days from the last purchase to `as_of`, at least 0.
    purchase_count : array_like of float, shape (n,)
        Number of purchases.
    total_spend : array_like of float, shape (n,)
        Money spent, in the unit of the edges.
    edges : RfmEdges
        Edges of the sample that the scores refer to; it need not hold these customers.

    Returns
    -------
    ndarray of int8, shape (n, 3)
        Columns recency, frequency, monetary; each score in 1..5. No row for no customer.

    Raises
    ------
    StatsError
        If the three features differ in length, are not one-dimensional or not finite. A customer without a purchase
        has no recency and cannot be scored.

    References
    ----------
    Hughes, A. M. (1994). Strategic Database Marketing. Probus, Chicago (five groups per feature).

    Examples
    --------
    >>> edges = RfmEdges((7, 30, 90, 180), (1, 2, 3, 6), (2500, 5000, 9000, 20000))
    >>> rfm_scores([3, 200], [9, 1], [45000, 1990], edges).tolist()
    [[5, 5, 5], [1, 1, 1]]
    """
    days = _feature("days_since_last_purchase", days_since_last_purchase)
    counts = _feature("purchase_count", purchase_count)
    spend = _feature("total_spend", total_spend)
    if not days.size == counts.size == spend.size:
        raise StatsError(f"the features have {days.size}, {counts.size} and {spend.size} customers")
    recency = SCORES - np.searchsorted(edges.days_since_last_purchase, days, side="left")
    frequency = 1 + np.searchsorted(edges.purchase_count, counts, side="left")
    monetary = 1 + np.searchsorted(edges.total_spend, spend, side="left")
    return np.column_stack((recency, frequency, monetary)).astype(np.int8)


def rfm_scores_of_one(
    days_since_last_purchase: float, purchase_count: float, total_spend: float, edges: RfmEdges
) -> tuple[int, int, int]:
    """Score one customer as `rfm_scores` does, without the arrays, which would take longer than the scoring.

    Parameters
    ----------
    days_since_last_purchase : float
        Days from the last purchase to `as_of`, at least 0. Finite, like the other two.
    purchase_count : float
        Number of purchases.
    total_spend : float
        Money spent, in the unit of the edges.
    edges : RfmEdges
        Edges of the sample that the scores refer to.

    Returns
    -------
    tuple of 3 ints
        Recency, frequency, monetary; each in 1..5. A customer without a purchase is not to be scored.

    References
    ----------
    Hughes, A. M. (1994). Strategic Database Marketing. Probus, Chicago (five groups per feature).

    Examples
    --------
    >>> edges = RfmEdges((7, 30, 90, 180), (1, 2, 3, 6), (2500, 5000, 9000, 20000))
    >>> rfm_scores_of_one(3, 9, 45000, edges)
    (5, 5, 5)
    """
    recency = SCORES - bisect_left(edges.days_since_last_purchase, days_since_last_purchase)
    frequency = 1 + bisect_left(edges.purchase_count, purchase_count)
    return recency, frequency, 1 + bisect_left(edges.total_spend, total_spend)


def _feature(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise StatsError(f"{name} has one value per customer, not the shape {array.shape}")
    if not np.isfinite(array).all():
        raise StatsError(f"{name} has values that are not finite numbers")
    return array
