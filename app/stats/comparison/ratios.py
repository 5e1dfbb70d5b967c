"""Metrics that are ratios of two sums per customer, whose denominator varies too: order value, clicks per open."""

from app.stats.comparison.sums import Sums
from app.stats.estimate import Undetermined


def as_mean(sums: Sums) -> Sums | Undetermined:
    r"""Turn a ratio of sums into a mean of the same value and of the variance that the delta method gives it.

    With :math:`R = \sum y / \sum x`, the figure :math:`R + (y_i - R x_i) / \bar x` of each customer has the mean R and
    the variance :math:`(s_y^2 - 2 R s_{xy} + R^2 s_x^2) / \bar x^2`: whatever compares means (effect, lift, interval)
    then compares ratios by the delta method, with the customer as the unit, not the order or the click.

    Parameters
    ----------
    sums : Sums
        Of the numerator y and, beside it, of the denominator x.

    Returns
    -------
    Sums or Undetermined
        ``Undetermined("zero_denominator", n)`` where the denominators do not add up to more than 0.

    References
    ----------
    Deng, A., Knoblich, U. and Lu, J. (2018). Applying the delta method in metric analytics: a practical guide with novel
    ideas. KDD, 233-242 (ratio metrics, of whose variance this is the linear form).

    Examples
    --------
    Three customers with 2, 1 and 0 orders worth 50, 40 and 0 in all: 30 an order:

    >>> as_mean(Sums.of([50, 40, 0], beside=[2, 1, 0])).mean
    Fraction(30, 1)
    >>> as_mean(Sums.of([0, 0], beside=[0, 0]))
    Undetermined(reason='zero_denominator', n=2)
    """
    if sums.beside_total <= 0:
        return Undetermined("zero_denominator", sums.n)
    ratio = sums.mean / sums.beside_mean
    return sums.combined(shift=ratio, own=1 / sums.beside_mean, beside=-ratio / sums.beside_mean)
