"""A forecast is a smooth function of a customer's age: it is worked out at few ages and read off for a million."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.stats.btyd.distinct import Codes, coded

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# (place among the distinct x, alpha + T), each of shape (m,) -> the forecast, shape (m,).
AtAge = Callable[[Integers, Floats], Floats]

# The forecasts are regular within pi of the real axis of log(alpha + T); a hair less is used.
_REGULAR_WITHIN = 3.0
# exp(-33) = 5e-15.
_DIGITS = 33.0
_LEAST_NODES = 8
_ROWS = 65_536


def over_ages(evaluate: AtAge, counts: Codes, T: Floats, *, alpha: float) -> Floats:
    """Evaluate a forecast for every customer, exactly where they are few, by Chebyshev interpolation where many.

    Parameters
    ----------
    evaluate : callable
        The forecast; analytic in log(alpha + T) within pi of the real axis.
    counts : Codes
        The distinct x, and each customer's place among them, shape (n,).
    T : ndarray of float64, shape (n,)
        Ages.
    alpha : float
        What is added to an age, positive.

    Returns
    -------
    ndarray of float64, shape (n,)
        Within 1e-12 of the largest forecast of the same x.

    References
    ----------
    Trefethen, L. N. (2013). Approximation Theory and Approximation Practice, theorem 8.2.

    Examples
    --------
    >>> x, T = np.zeros(1000), np.linspace(0.0, 100.0, 1000)
    >>> found = over_ages(lambda place, age: 1 / age, coded(x), T, alpha=4.0)
    >>> bool(np.abs(found - 1 / (4.0 + T)).max() < 1e-13)
    True
    """
    if not T.size:
        return np.zeros(0)
    low, high = np.log(alpha + T.min()), np.log(alpha + T.max())
    half = max((high - low) / 2, 1e-9)
    reach = _REGULAR_WITHIN / half
    nodes = max(_LEAST_NODES, int(np.ceil(_DIGITS / np.log(reach + np.hypot(1.0, reach)))))
    distinct = counts.values.size
    if T.size <= distinct * nodes:
        times = coded(T)
        pairs, of = np.unique(counts.of * times.values.size + times.of, return_inverse=True)
        place, age = np.divmod(pairs, times.values.size)
        return evaluate(place, alpha + times.values[age])[of]
    angles = np.pi * (np.arange(nodes) + 0.5) / nodes
    ages = np.exp((low + high) / 2 + half * np.cos(angles))
    places = np.repeat(np.arange(distinct), nodes)
    at_nodes = evaluate(places, np.tile(ages, distinct)).reshape(distinct, nodes)
    cosines = np.cos(np.outer(np.arange(nodes), angles))
    coefficients = 2 / nodes * at_nodes @ cosines.T
    coefficients[:, 0] /= 2
    return _read_off(coefficients, counts, T, lambda age: (np.log(alpha + age) - (low + high) / 2) / half)


def _read_off(coefficients: Floats, counts: Codes, T: Floats, scaled: Callable[[Floats], Floats]) -> Floats:
    times = coded(T)
    orders = np.arange(coefficients.shape[1])
    if counts.values.size * times.values.size <= 4 * T.size:
        angles = np.arccos(np.clip(scaled(times.values), -1.0, 1.0))
        table = coefficients @ np.cos(np.outer(orders, angles))
        found: Floats = table.ravel()[counts.of * times.values.size + times.of]
        return found
    found = np.empty(T.size)
    for start in range(0, T.size, _ROWS):
        rows = slice(start, start + _ROWS)
        angles = np.arccos(np.clip(scaled(T[rows]), -1.0, 1.0))
        found[rows] = np.einsum("nk,nk->n", coefficients[counts.of[rows]], np.cos(np.multiply.outer(angles, orders)))
    return found
