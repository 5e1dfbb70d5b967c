"""Which buy-till-you-die families there are, what their parameters are called, and what each must be able to say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.stats.btyd.histories import Histories

Floats = npt.NDArray[np.float64]

Family = Literal["bg_nbd", "mbg_nbd", "pareto_nbd"]
PARAMETERS: Mapping[Family, tuple[str, ...]] = {
    "bg_nbd": ("r", "alpha", "a", "b"),
    "mbg_nbd": ("r", "alpha", "a", "b"),
    "pareto_nbd": ("r", "alpha", "s", "beta"),
}

# Log-parameters, shape (k,) -> log-likelihood, its gradient (k,) and its Hessian (k, k) in them.
LogLikelihood = Callable[[Floats], tuple[float, Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Process:
    """What a family says about customers; `parameters` are always natural, in the order of `PARAMETERS`.

    They are the same for all customers, shape (4,); for what is deterministic they may differ, shape (4, n).

    Parameters
    ----------
    log_likelihood : callable
        Histories -> the function of the log-parameters that is maximised.
    log_odds_gone : callable
        (parameters, x, t_x, T) -> log of P(inactive at T) / P(alive at T); -inf where nobody can be gone.
    purchases_if_alive : callable
        (parameters, t, x, T) -> expected purchases in (T, T + t] of one who is alive at T.
    discounted_if_alive : callable
        (parameters, t, discount_rate, x, T) -> the same, each purchase at u discounted by exp(-discount_rate (u - T)).
    both_if_alive : callable
        (parameters, t, discount_rate, x, T) -> the last two, at the cost of little more than one; for any number of
        customers, but of few together.
    silence_if_alive : callable
        (parameters, t, x, T) -> probability of no purchase in (T, T + t] of one who is alive at T.
    future_if_alive : callable
        (parameters, t, x, T, random generator) -> simulated purchases in (T, T + t] of one who is alive at T.
    """

    log_likelihood: Callable[[Histories], LogLikelihood]
    log_odds_gone: Callable[[Floats, Floats, Floats, Floats], Floats]
    purchases_if_alive: Callable[[Floats, float, Floats, Floats], Floats]
    discounted_if_alive: Callable[[Floats, float, float, Floats, Floats], Floats]
    both_if_alive: Callable[[Floats, float, float, Floats, Floats], tuple[Floats, Floats]]
    silence_if_alive: Callable[[Floats, float, Floats, Floats], Floats]
    future_if_alive: Callable[[Floats, float, Floats, Floats, np.random.Generator], Floats]


def in_order(family: Family, parameters: Mapping[str, float]) -> Floats:
    """Write the named parameters of a family as an array.

    Parameters
    ----------
    family : Family
        Whose.
    parameters : mapping of str to float
        Each at its name, positive.

    Returns
    -------
    ndarray of float64, shape (4,)
        In the order of `PARAMETERS`.

    Examples
    --------
    >>> in_order("bg_nbd", {"b": 2.4, "a": 0.8, "r": 0.2, "alpha": 4.4}).tolist()
    [0.2, 4.4, 0.8, 2.4]
    """
    return np.array([parameters[name] for name in PARAMETERS[family]], dtype=np.float64)
