"""Customers whose parameters are known: what intervals and forecasts are checked against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.stats.btyd.families import Family, in_order
from app.stats.btyd.geometric_future import last_purchase
from app.stats.estimate import StatsError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Simulated:
    """Simulated customers, one place each.

    Parameters
    ----------
    x, t_x, T : ndarray of float64, shape (n,)
        Their histories.
    alive : ndarray of bool, shape (n,)
        Whether they have not dropped out by T.
    future_purchases : ndarray of float64, shape (n,)
        Purchases in (T, T + future].
    mean_value : ndarray of float64, shape (n,)
        Mean value of the x repeat purchases; 0 where x = 0 or no spend was asked for.
    future_value : ndarray of float64, shape (n,)
        Value of the future purchases, not discounted; 0 where no spend was asked for.
    """

    x: Floats
    t_x: Floats
    T: Floats
    alive: npt.NDArray[np.bool_]
    future_purchases: Floats
    mean_value: Floats
    future_value: Floats


def simulate(  # a model, ages, what comes after, and what it is worth
    family: Family,
    parameters: Mapping[str, float],
    *,
    T: npt.ArrayLike,
    future: float = 0.0,
    spend: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Simulated:
    """Simulate customers by the story that a family tells, and how they go on.

    Parameters
    ----------
    family : Family
        Which story.
    parameters : mapping of str to float
        Its parameters.
    T : array_like of float64, shape (n,)
        Ages at the end of observation, positive: one customer each.
    future : float, default 0
        How long they are watched after, in the unit of T, at least 0.
    spend : mapping of str to float, optional
        p, q, v of the Gamma-Gamma model.
    seed : int, default 0
        For all chance there is.

    Returns
    -------
    Simulated
        In the order of `T`.

    Raises
    ------
    StatsError
        If an age is not positive or `future` is negative.

    References
    ----------
    The families' papers; the story itself, not the formulas that follow from it.

    Examples
    --------
    >>> some = simulate("bg_nbd", {"r": 0.243, "alpha": 4.41, "a": 0.793, "b": 2.43}, T=[39.0] * 4, future=39.0)
    >>> some.x.shape, bool((some.t_x <= some.T).all()), bool(some.alive[some.x == 0].all())
    ((4,), True, True)
    """
    ages = np.asarray(T, dtype=np.float64)
    if not (ages > 0).all() or future < 0:
        raise StatsError("customers are watched for a positive time, and after it for no negative one")
    rng = np.random.default_rng(seed)
    n, (r, alpha, third, fourth) = ages.size, in_order(family, parameters)
    until = ages + future
    many = rng.poisson(rng.gamma(r, 1 / alpha, n) * until)
    owner = np.repeat(np.arange(n), many)
    at = rng.random(owner.size) * until[owner]
    at = at[np.lexsort((at, owner))]
    starts = np.cumsum(many) - many
    if family == "pareto_nbd":
        # A rate of leaving so small that it is no double is one of never.
        leaves = rng.standard_exponential(n) / np.maximum(rng.gamma(third, 1 / fourth, n), 1e-300)
        made, alive = at <= leaves[owner], leaves > ages
    else:
        last = last_purchase(rng.beta(third, fourth, n), rng) - (1 if family == "mbg_nbd" else 0)
        made = np.arange(owner.size) - starts[owner] < last[owner]
        alive = np.bincount(owner[at <= ages[owner]], minlength=n) < last
    known, later = made & (at <= ages[owner]), made & (at > ages[owner])
    x, to_come = (np.bincount(owner[which], minlength=n).astype(np.float64) for which in (known, later))
    t_x = np.zeros(n)
    np.maximum.at(t_x, owner[known], at[known])
    mean_value, future_value = _spent(spend, x, to_come, rng)
    return Simulated(x, t_x, ages, alive, to_come, mean_value, future_value)


def _spent(
    spend: Mapping[str, float] | None, x: Floats, to_come: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    if spend is None:
        return np.zeros(x.size), np.zeros(x.size)
    rates = rng.gamma(spend["q"], 1 / spend["v"], x.size)
    # A sum of gamma values of one rate is gamma.
    totals, later = rng.gamma(spend["p"] * x) / rates, rng.gamma(spend["p"] * to_come) / rates
    return totals / np.maximum(x, 1.0), later
