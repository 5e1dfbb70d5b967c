"""What days and strata add up to: all that comparing means, ratios and adjusted means ever needs of the rows."""

from dataclasses import dataclass, fields
from fractions import Fraction
from operator import index

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError, check_count

Exact = int | Fraction
Whole = NDArray[np.int64]
WORD = 2**63


@dataclass(frozen=True, slots=True)
class Sums:
    """Sufficient statistics of a figure y and, where there is one, of a second figure x of the same customers.

    They add up with ``+``: the sums of two days or strata are the sums of both. Exact integers or fractions, as sums of
    squares less squared sums lose every digit in floating point where the mean is large against the spread.

    Parameters
    ----------
    n : int
        Number of customers (units of assignment), at least 0.
    total, squares : int or Fraction
        Sums of y and of its squares, in its unit (money: minor units) and that squared.
    beside_total, beside_squares : int or Fraction, default 0
        Sums of x and of its squares: the denominator of a ratio, or the same figure before the experiment.
    products : int or Fraction, default 0
        Sum of x times y.

    Raises
    ------
    StatsError
        If a sum is a float or no n real numbers have these sums.

    Examples
    --------
    >>> monday, tuesday = Sums.of([3, 5]), Sums.of([4])
    >>> monday + tuesday
    Sums(n=3, total=12, squares=50, beside_total=0, beside_squares=0, products=0)
    >>> (monday + tuesday).mean, (monday + tuesday).variance
    (Fraction(4, 1), Fraction(1, 1))
    """

    n: int
    total: Exact
    squares: Exact
    beside_total: Exact = 0
    beside_squares: Exact = 0
    products: Exact = 0

    def __post_init__(self) -> None:
        """Take NumPy's integers as integers; refuse sums that no sample has."""
        for field in fields(self):
            object.__setattr__(self, field.name, _exact(getattr(self, field.name)))
        check_count(self.n)
        own, beside, between = _spread(self, "squares"), _spread(self, "beside_squares"), _spread(self, "products")
        empty = self.n == 0 and any(getattr(self, field.name) for field in fields(self))
        single = self.n == 1 and (own or beside or between)
        if empty or single or own < 0 or beside < 0 or between**2 > own * beside:
            raise StatsError(f"no {self.n} customers have these sums")

    @classmethod
    def of(cls, values: ArrayLike, beside: ArrayLike | None = None) -> "Sums":
        """Sum whole numbers.

        Parameters
        ----------
        values : array_like of int, shape (n,)
            The figure of each customer, in whole units.
        beside : array_like of int, shape (n,), optional
            The second figure of the same customers.

        Returns
        -------
        Sums

        Raises
        ------
        StatsError
            If they are not whole numbers or differ in length.

        Examples
        --------
        >>> Sums.of([1, 2], beside=[3, 4]).products
        11
        """
        own = _whole(values)
        if beside is None:
            return cls(own.size, *_summed(own, own))
        other = _whole(beside)
        if own.size != other.size:
            raise StatsError(f"{own.size} figures and {other.size} beside them are not of the same customers")
        _, products = _summed(own, other)
        return cls(own.size, *_summed(own, own), *_summed(other, other), products)

    @classmethod
    def of_share(cls, successes: int, n: int) -> "Sums":
        """Sum what is 1 for some and 0 for the others.

        Parameters
        ----------
        successes, n : int
            How many of how many.

        Returns
        -------
        Sums

        Raises
        ------
        StatsError
            If there are more successes than customers, or fewer than none.

        Examples
        --------
        >>> Sums.of_share(3, 4).mean
        Fraction(3, 4)
        """
        return cls(n, successes, successes)

    def __add__(self, other: "Sums") -> "Sums":
        """Give the sums of both samples together."""
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def mean(self) -> Fraction:
        """The mean of y; StatsError for no customer."""
        return self._over(Fraction(self.total), self.n)

    @property
    def beside_mean(self) -> Fraction:
        """The mean of x; StatsError for no customer."""
        return self._over(Fraction(self.beside_total), self.n)

    @property
    def variance(self) -> Fraction:
        """The unbiased variance of y; StatsError for fewer than two customers."""
        return self._over(_spread(self, "squares") / max(self.n, 1), self.n - 1)

    @property
    def beside_variance(self) -> Fraction:
        """The unbiased variance of x; StatsError for fewer than two customers."""
        return self._over(_spread(self, "beside_squares") / max(self.n, 1), self.n - 1)

    @property
    def covariance(self) -> Fraction:
        """The unbiased covariance of x and y; StatsError for fewer than two customers."""
        return self._over(_spread(self, "products") / max(self.n, 1), self.n - 1)

    def combined(self, *, shift: Exact, own: Exact, beside: Exact) -> "Sums":
        """Give the sums of the figure shift + own y + beside x, with nothing beside it.

        Parameters
        ----------
        shift, own, beside : int or Fraction
            The coefficients.

        Returns
        -------
        Sums

        Examples
        --------
        >>> Sums.of([1, 2], beside=[3, 5]).combined(shift=1, own=2, beside=-1) == Sums.of([0, 0])
        True
        """
        total = shift * self.n + own * self.total + beside * self.beside_total
        straight = shift**2 * self.n + own**2 * self.squares + beside**2 * self.beside_squares
        crossed = shift * own * self.total + shift * beside * self.beside_total + own * beside * self.products
        return Sums(self.n, total, straight + 2 * crossed)

    def _over(self, above: Fraction, below: int) -> Fraction:
        if below < 1:
            raise StatsError(f"{self.n} customers are too few for this figure")
        return above / below


def _spread(sums: Sums, which: str) -> Fraction:
    """N times a sum of squares or products around the means."""
    first = sums.total if which != "beside_squares" else sums.beside_total
    second = sums.total if which == "squares" else sums.beside_total
    return Fraction(sums.n * getattr(sums, which) - first * second)


def _exact(number: Exact) -> Exact:
    if isinstance(number, Fraction):
        return number
    try:
        # index() also takes NumPy integers, whose own products would overflow without a word.
        return index(number)
    except TypeError:
        raise StatsError(f"exact sums are integers or fractions, not {type(number).__name__}") from None


def _summed(own: Whole, other: Whole) -> tuple[int, int]:
    """The sum of the first and of the products, in machine words where these cannot overflow."""
    if own.size == 0:
        return 0, 0
    largest = max(abs(int(end)) for side in (own, other) for end in (side.min(), side.max()))
    if largest * largest * own.size < WORD:
        return int(own.sum()), int(own @ other)
    first, second = own.tolist(), other.tolist()
    return sum(first), sum(one * two for one, two in zip(first, second, strict=True))


def _whole(values: ArrayLike) -> Whole:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise StatsError("figures are summed in whole units: a list of integers")
    if array.dtype.kind == "u" and array.size and int(array.max()) >= WORD:
        raise StatsError("a figure is larger than any amount of money")
    return array.astype(np.int64)
