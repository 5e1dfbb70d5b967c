"""Credits as whole units that add up: cents are not lost, and none are made."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor


def whole_units(shares: Sequence[float], total: int) -> list[int]:
    """Divide a total into whole units in the proportion of shares, each part off by less than one unit.

    Largest remainder: all parts are rounded down, and the units that are missing go to those that lost most, of equals
    to the first. In fractions, so that no total is too large.

    Parameters
    ----------
    shares : sequence of float, length n
        Finite; may be negative.
    total : int
        Units to divide.

    Returns
    -------
    list of int, length n
        They add up to `total`; empty where there is no share. Equal parts where the shares add up to 0.

    References
    ----------
    Balinski, M. L. and Young, H. P. (2001). Fair Representation, 2nd ed., chapter 3 (Hamilton's method).

    Examples
    --------
    >>> whole_units([1.0, 1.0, 1.0], 100)
    [34, 33, 33]
    >>> whole_units([3.0, -1.0], 100)
    [150, -50]
    """
    exact = [Fraction(float(share)) for share in shares]
    whole = sum(exact)
    if whole == 0:
        exact, whole = [Fraction(1)] * len(exact), Fraction(len(exact))
    parts = [share / whole * total for share in exact]
    units = [floor(part) for part in parts]
    missing = total - sum(units) if parts else 0
    for place in sorted(range(len(parts)), key=lambda each: (units[each] - parts[each], each))[:missing]:
        units[place] += 1
    return units
