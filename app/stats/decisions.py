"""What to do about a probability: the point from which acting pays, and bands that follow from it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.stats.estimate import StatsError
from app.stats.scored import Floats

RiskBand = Literal["low", "medium", "high"]
BANDS: tuple[RiskBand, ...] = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is known of the action that a score is to steer.

    Parameters
    ----------
    cost : float
        Of one action, in money. At least 0.
    success_rates : tuple of float
        The cautious and the optimistic end of the share of leavers that it keeps, 0 <= low <= high <= 1. The share is
        causal: of those who would have left, not of those who stayed.

    Raises
    ------
    StatsError
        If the cost is negative or not finite, or the rates are no such range.
    """

    cost: float
    success_rates: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse what is no cost and no range of shares."""
        if not 0.0 <= self.cost < np.inf:
            raise StatsError(f"a cost is not negative and finite, not {self.cost}")
        low, high = self.success_rates
        if not 0.0 <= low <= high <= 1.0:
            raise StatsError(f"success rates run from low to high within 0..1, not from {low} to {high}")


ASSUMED = Intervention(cost=0.05, success_rates=(0.1, 0.3))
"""Stands in where no cost is known, for a customer worth 1: an action that costs one twentieth of what the customer is
worth and keeps one to three in ten of the leavers. Risk is then medium from 1/6 and high from 1/2, whatever the value.
An assumption, which whatever shows the bands has to show as one."""


def break_even_probability(cost: ArrayLike, value_saved: ArrayLike, success_rate: ArrayLike) -> Floats:
    r"""Give the probability from which an action pays: :math:`c / (s v)`.

    An action of cost c on a customer who leaves with probability p, kept by it with success rate s and then worth v,
    earns :math:`p s v - c` on average.

    Parameters
    ----------
    cost : array_like of float
        Of one action, in money. At least 0.
    value_saved : array_like of float
        What a kept customer is worth from now on, in the same money; negative or 0 for one not worth keeping.
    success_rate : array_like of float
        Share of the leavers that the action keeps, in 0..1.

    Returns
    -------
    ndarray of float64, shape of the three broadcast together
        At least 0. Above 1, up to infinity, where no probability makes it pay: nothing to save, or no success.

    Raises
    ------
    StatsError
        If a number is not finite, a cost is negative or a success rate lies outside 0..1.

    References
    ----------
    Neslin, S. A., Gupta, S., Kamakura, W., Lu, J. and Mason, C. H. (2006). Defection detection: measuring and
    understanding the predictive accuracy of customer churn models. Journal of Marketing Research 43(2), 204-211
    (profit of a campaign, here without a cost of the offer that only those pay for who take it).
    Elkan, C. (2001). The foundations of cost-sensitive learning. IJCAI, 973-978, equation 2.

    Examples
    --------
    A call of 5 that keeps one in five leavers worth 100:

    >>> break_even_probability(5, [100, 20, 0], 0.2)
    array([0.25, 1.25,  inf])
    """
    costs, values, rates = _checked(cost, value_saved, success_rate)
    # Who is worth a negative amount is worth no cost either, not even none.
    kept = np.maximum(rates * values, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(kept > 0.0, costs / kept, np.inf)


def expected_gain(
    probabilities: ArrayLike, *, cost: ArrayLike, value_saved: ArrayLike, success_rate: ArrayLike
) -> Floats:
    r"""Give what acting on a customer earns on average: :math:`p s v - c`.

    Parameters
    ----------
    probabilities : array_like of float
        Of leaving, in 0..1.
    cost, value_saved, success_rate : array_like of float
        As in `break_even_probability`.

    Returns
    -------
    ndarray of float64, shape of the four broadcast together
        In money; acting pays where it is above 0, in the order in which it should be done.

    Raises
    ------
    StatsError
        As `break_even_probability`, and if a probability lies outside 0..1.

    Examples
    --------
    >>> expected_gain([0.5, 0.1], cost=5, value_saved=100, success_rate=0.2)
    array([ 5., -3.])
    """
    costs, values, rates = _checked(cost, value_saved, success_rate)
    gain: Floats = _probabilities(probabilities) * rates * values - costs
    return gain


def risk_thresholds(value_saved: ArrayLike, *, intervention: Intervention | None = None) -> tuple[Floats, Floats]:
    """Give the probabilities from which a customer's risk is medium and high.

    Medium from where the action pays at the optimistic end of its success rate, high from where it pays even at the
    cautious end: the bands say what to do, not where a customer stands among others.

    Parameters
    ----------
    value_saved : array_like of float, shape (n,)
        What each customer is worth if kept, in money. Not used where `intervention` is None.
    intervention : Intervention, optional
        The action and its cost. `ASSUMED` for a customer worth 1 where nothing is known.

    Returns
    -------
    tuple of ndarray of float64, shape (n,)
        Medium and high thresholds, medium <= high; above 1 where the band is out of reach.

    Raises
    ------
    StatsError
        If a value is not finite.

    Examples
    --------
    >>> medium, high = risk_thresholds([100.0, 20.0], intervention=Intervention(cost=5, success_rates=(0.1, 0.25)))
    >>> medium, high
    (array([0.2, 1. ]), array([0.5, 2.5]))
    >>> [round(float(threshold), 4) for threshold in risk_thresholds(0.0)]
    [0.1667, 0.5]
    """
    action = intervention or ASSUMED
    values = _finite(value_saved, "a value") if intervention else np.ones(np.shape(value_saved))
    cautious, optimistic = action.success_rates
    medium = break_even_probability(action.cost, values, optimistic)
    return medium, break_even_probability(action.cost, values, cautious)


def risk_bands(
    probabilities: ArrayLike, value_saved: ArrayLike, *, intervention: Intervention | None = None
) -> NDArray[np.str_]:
    """Say of each customer whether acting pays: high for surely, medium for if all goes well, low for not.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Of leaving, in 0..1.
    value_saved : array_like of float, shape (n,) or ()
        What each customer is worth if kept, in money. Not used where `intervention` is None.
    intervention : Intervention, optional
        The action and its cost; see `risk_thresholds` for what stands in.

    Returns
    -------
    ndarray of str, shape (n,)
        ``"low"``, ``"medium"`` or ``"high"``. At a threshold itself acting earns nothing: the lower band.

    Raises
    ------
    StatsError
        If a probability lies outside 0..1 or a value is not finite.

    Examples
    --------
    A call of 5 that keeps 10 to 25 % of the leavers:

    >>> call = Intervention(cost=5, success_rates=(0.1, 0.25))
    >>> risk_bands([0.6, 0.6, 0.1], [100, 50, 100], intervention=call).tolist()
    ['high', 'medium', 'low']
    >>> risk_bands([0.6, 0.3, 0.1], 0.0).tolist()
    ['high', 'medium', 'low']
    """
    chances = _probabilities(probabilities)
    medium, high = risk_thresholds(value_saved, intervention=intervention)
    bands: NDArray[np.str_] = np.array(BANDS)[(chances > medium).astype(int) + (chances > high)]
    return bands


def _checked(cost: ArrayLike, value_saved: ArrayLike, success_rate: ArrayLike) -> tuple[Floats, Floats, Floats]:
    costs, values = _finite(cost, "a cost"), _finite(value_saved, "a value")
    rates = _finite(success_rate, "a success rate")
    if (costs < 0).any():
        raise StatsError("a cost is not negative")
    if ((rates < 0) | (rates > 1)).any():
        raise StatsError("a success rate is a share in 0..1")
    return costs, values, rates


def _probabilities(probabilities: ArrayLike) -> Floats:
    chances = _finite(probabilities, "a probability")
    if ((chances < 0) | (chances > 1)).any():
        raise StatsError("a probability lies in 0..1")
    return chances


def _finite(numbers: ArrayLike, name: str) -> Floats:
    array = np.asarray(numbers, dtype=np.float64)
    if not np.isfinite(array).all():
        raise StatsError(f"{name} is a finite number")
    return array
