"""Credit by what would be lost without a channel: removal effects in an absorbing Markov chain, solved exactly."""

from dataclasses import dataclass

import numpy as np

from app.stats.attribution.journeys import Credits, Floats, Integers, Journeys, scaled, summed
from app.stats.estimate import StatsError

# A dense solve of so many states takes about a second on one core, and 50 MB.
MAX_STATES = 2_500
ENCODABLE = 2**62


class TooManyStates(StatsError):
    """The order asked for needs more states than are solved exactly; a lower order does not."""


@dataclass(frozen=True, slots=True)
class RemovalEffects:
    """What share of all outcomes, and of their value, would be lost without each channel.

    Parameters
    ----------
    conversions, values : ndarray of float64, shape (c,)
        In 0..1; they do not add up to 1, as several channels may be needed for one outcome.
    conversion_probability : float
        Of a journey in the chain with all channels; 0 where no journey ends with an outcome.
    states : int
        How many states the chain has besides start, conversion and null.

    Examples
    --------
    >>> RemovalEffects(np.array([1.0]), np.array([1.0]), 0.5, 1).states
    1
    """

    conversions: Floats
    values: Floats
    conversion_probability: float
    states: int


def markov(journeys: Journeys, *, order: int = 1) -> Credits:
    """Share outcomes in the proportion of the removal effects of the channels.

    Removal effects do not add up to 1; credits are the effects divided by their sum, times the total (Anderl et al.,
    section 3.4). Value is shared by the removal effects on value.

    Parameters
    ----------
    journeys : Journeys
        Journeys without an outcome matter: without them nothing can be lost on the way.
    order : int, default 1
        How many of the last touches decide what comes next.

    Returns
    -------
    Credits
        Equal parts where no channel has an effect.

    Raises
    ------
    StatsError
        If the order is below 1.
    TooManyStates
        If the chain has more than `MAX_STATES` states.

    References
    ----------
    Anderl, E., Becker, I., von Wangenheim, F. and Schumann, J. H. (2016). Mapping the customer journey: lessons learned
    from graph-based online attribution modeling. International Journal of Research in Marketing 33(3), 457-474.

    Examples
    --------
    >>> journeys = Journeys.of([["a", "b"], ["b"]], conversions=[1, 0], nulls=[0, 1])
    >>> markov(journeys).conversions.round(4).tolist()
    [0.3333, 0.6667]
    """
    effects = removal_effects(journeys, order=order)
    return Credits(
        journeys.channels,
        scaled(effects.conversions, journeys.total_conversions),
        scaled(effects.values, journeys.total_value),
    )


def removal_effects(journeys: Journeys, *, order: int = 1) -> RemovalEffects:
    r"""Solve the absorbing chain of the journeys once, and once without each channel.

    A state is the last `order` touches (fewer at the beginning). With the transition probabilities Q among states, the
    start distribution s and the probability r to convert next, a journey converts with probability
    :math:`p = s N r`, :math:`N = (I - Q)^{-1}`. To remove a channel is to send every transition into its states S to
    null. Journeys that would have met it first in state j do so with probability
    :math:`f_S = (s N)_S N_{SS}^{-1}`, and convert from there with :math:`(N r)_j`, so that the effect is
    :math:`f_S \cdot (N r)_S / p`: one factorisation serves all channels. The same with the mean value of what follows a
    state in place of r gives the effect on value.

    Parameters
    ----------
    journeys : Journeys
        Paths with neither outcome nor null journey are left out.
    order : int, default 1
        At least 1.

    Returns
    -------
    RemovalEffects
        Effects of 0 where there are no outcomes, or none of value.

    Raises
    ------
    StatsError
        If the order is below 1.
    TooManyStates
        If the chain has more than `MAX_STATES` states.

    References
    ----------
    Anderl et al. (2016), section 3.3; Kemeny, J. G. and Snell, J. L. (1976). Finite Markov Chains, theorems 3.2.4
    (fundamental matrix), 3.3.7 (absorption) and 3.5.4 (hitting a set).

    Examples
    --------
    Half of those in b convert, everybody in a goes on to b:

    >>> journeys = Journeys.of([["a", "b"], ["b"]], conversions=[1, 0], nulls=[0, 1])
    >>> found = removal_effects(journeys)
    >>> found.conversions.tolist(), found.conversion_probability
    ([0.5, 1.0], 0.5)
    """
    if order < 1:
        raise StatsError(f"the order of a chain is at least 1, not {order}")
    weights = journeys.conversions + journeys.nulls
    total = float(weights.sum())
    none = np.zeros(len(journeys.channels))
    if total == 0.0:
        return RemovalEffects(none, none, 0.0, 0)
    places, channel_of_state = _states(journeys, order)
    states = channel_of_state.size
    path, last = journeys.path_of_touch, journeys.starts + journeys.lengths - 1
    visits = summed(places, weights[path], size=states)
    used = np.where(visits > 0, visits, 1.0)
    flows = np.ones(max(places.size - 1, 0), dtype=bool)
    flows[last[:-1]] = False
    inner = np.flatnonzero(flows)
    moves = summed(places[inner] * states + places[inner + 1], weights[path[inner]], size=states * states)
    chain = -moves.reshape(states, states) / used[:, None]
    chain[np.diag_indices(states)] += 1.0
    fundamental = np.linalg.inv(chain)
    reached = summed(places[journeys.starts], weights, size=states) / total @ fundamental
    endings = (journeys.conversions, journeys.values)
    rewards = np.stack([summed(places[last], each, size=states) / used for each in endings], axis=1)
    worth = fundamental @ rewards
    lost = np.zeros((len(journeys.channels), 2))
    for channel in np.unique(channel_of_state):
        own = np.flatnonzero(channel_of_state == channel)
        first_met = np.linalg.solve(fundamental[np.ix_(own, own)].T, reached[own])
        lost[channel] = first_met @ worth[own]
    kept = np.array([journeys.total_conversions, journeys.total_value]) / total
    effects = np.clip(lost / np.where(kept > 0, kept, 1.0), 0.0, 1.0)
    return RemovalEffects(effects[:, 0], effects[:, 1], float(kept[0]), states)


def _states(journeys: Journeys, order: int) -> tuple[Integers, Integers]:
    """The state after each touch, and the channel that was met last in each state."""
    channels = len(journeys.channels)
    if order == 1:
        return journeys.touches, np.arange(channels)
    base = channels + 1
    if base**order >= ENCODABLE:
        raise TooManyStates(f"{channels} channels are too many for order {order}")
    position = np.arange(journeys.touches.size) - np.repeat(journeys.starts, journeys.lengths)
    key = journeys.touches + 1
    for back in range(1, min(order, journeys.touches.size)):
        earlier = np.zeros_like(key)
        earlier[back:] = journeys.touches[:-back] + 1
        key = key + np.where(position >= back, earlier, 0) * base**back
    keys, places = np.unique(key, return_inverse=True)
    if keys.size > MAX_STATES:
        raise TooManyStates(f"order {order} needs {keys.size} states, more than {MAX_STATES}")
    return places, keys % base - 1
