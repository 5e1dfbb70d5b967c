"""Credit as the Shapley value of a game that channels play together; which game is always said."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from app.stats.attribution.journeys import Credits, Floats, Game, Integers, Journeys, scaled, summed
from app.stats.estimate import StatsError

EXACT_CHANNELS = 12
PERMUTATIONS = 1_000


def shapley(
    journeys: Journeys, *, game: Game = "conversions", permutations: int = PERMUTATIONS, seed: int = 0
) -> Credits:
    r"""Share outcomes by the Shapley value of the channels: their mean contribution over all orders of joining.

    Which game they play is a choice, and the answers differ greatly:

    ``conversions``: a coalition S earns the outcomes of journeys all of whose channels are in S. This is a sum of one
    unanimity game per observed channel set T, and the Shapley value of such a game splits it equally among T: exact for
    any number of channels, without enumerating coalitions. Order and repetition on a path do not matter, nor do journeys
    without an outcome.

    ``rate``: S earns the conversion rate of these journeys, outcomes / (outcomes + nulls), 0 where there are none;
    values likewise are value per journey. The credits are scaled to the totals. It says which channels go with high
    rates, however rare they are, and a credit may be negative. Exact over all :math:`2^c` coalitions up to 12 channels;
    beyond, the mean over sampled orders, each with its reverse.

    Parameters
    ----------
    journeys : Journeys
        Order within a path does not matter.
    game : {"conversions", "rate"}, default "conversions"
        What a coalition earns.
    permutations : int, default 1000
        Sampled orders where sampling is needed; at least 4, an odd number has one more.
    seed : int, default 0
        Of the sampled orders.

    Returns
    -------
    Credits
        With `standard_errors` where orders were sampled.

    Raises
    ------
    StatsError
        If fewer than 4 permutations are asked for.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Contributions to the Theory of Games II, 307-317, lemma 2
    (unanimity games) and equation 12. Zhao, K., Mahboobi, S. H. and Bagheri, S. R. (2018). Shapley value methods for
    attribution modeling in online advertising. arXiv:1804.05327, section 3.1. Castro, J., Gomez, D. and Tejada, J.
    (2009). Polynomial calculation of the Shapley value based on sampling. Computers & Operations Research 36,
    1726-1730.

    Examples
    --------
    >>> journeys = Journeys.of([["a", "b", "a"], ["b"]], conversions=[4, 1], nulls=[0, 4])
    >>> shapley(journeys).conversions.tolist()
    [2.0, 3.0]
    >>> shapley(journeys, game="rate").conversions.round(4).tolist()
    [1.6, 3.4]
    """
    if permutations < 4:
        raise StatsError(f"at least 4 orders are sampled, not {permutations}")
    path, channel = _met(journeys)
    if game == "conversions":
        shares = 1.0 / np.bincount(path, minlength=journeys.starts.size)
        conversions, values = (
            summed(channel, (each * shares)[path], size=len(journeys.channels))
            for each in (journeys.conversions, journeys.values)
        )
        return Credits(journeys.channels, conversions, values, game=game)
    if len(journeys.channels) <= EXACT_CHANNELS:
        found = _exact(journeys, path, channel)
        return _of_rates(journeys, found, None)
    return _of_rates(journeys, *_sampled(journeys, path, channel, orders=_orders(journeys, permutations, seed)))


def _met(journeys: Journeys) -> tuple[Integers, Integers]:
    """Each path with each channel on it, once."""
    channels = max(len(journeys.channels), 1)
    pairs = np.unique(journeys.path_of_touch * channels + journeys.touches)
    return pairs // channels, pairs % channels


def _of_rates(journeys: Journeys, found: Floats, errors: Floats | None) -> Credits:
    """Contributions to both rates, scaled so that they add up to the totals."""
    return Credits(
        journeys.channels,
        scaled(found[0], journeys.total_conversions),
        scaled(found[1], journeys.total_value),
        game="rate",
        standard_errors=None if errors is None else errors * float((journeys.conversions + journeys.nulls).sum()),
    )


def _rates(sums: Floats) -> Floats:
    """Outcomes and value per journey; the last of three rows counts journeys."""
    return sums[:2] / np.where(sums[2] > 0, sums[2], 1.0)


def _endings(journeys: Journeys) -> Floats:
    return np.stack([journeys.conversions, journeys.values, journeys.conversions + journeys.nulls])


def _exact(journeys: Journeys, path: Integers, channel: Integers) -> Floats:
    """Contributions over all coalitions, shape (2, c)."""
    players = len(journeys.channels)
    size = 1 << players
    masks = summed(path, np.exp2(channel), size=journeys.starts.size).astype(np.int64)
    sums = np.stack([summed(masks, each, size=size) for each in _endings(journeys)])
    for player in range(players):
        # From "exactly these channels" to "none but these", one channel at a time.
        pairs = sums.reshape(3, -1, 2, 1 << player)
        pairs[:, :, 1] += pairs[:, :, 0]
    worth = _rates(sums)
    members = np.bitwise_count(np.arange(size)).astype(np.int64)
    found = np.zeros((2, players))
    for player in range(players):
        without = np.flatnonzero((np.arange(size) >> player) & 1 == 0)
        others = members[without]
        # |S|! (c - |S| - 1)! / c!
        log_weight = gammaln(others + 1.0) + gammaln(players - others) - gammaln(players + 1.0)
        found[:, player] = (worth[:, without | (1 << player)] - worth[:, without]) @ np.exp(log_weight)
    return found


def _orders(journeys: Journeys, permutations: int, seed: int) -> Integers:
    """Half of them at random, each followed by its reverse; shape (orders, c)."""
    players = np.tile(np.arange(len(journeys.channels)), ((permutations + 1) // 2, 1))
    drawn = np.random.default_rng(seed).permuted(players, axis=1)
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, len(journeys.channels))


def _sampled(journeys: Journeys, path: Integers, channel: Integers, *, orders: Integers) -> tuple[Floats, Floats]:
    """Mean contributions over the orders, shape (2, c), and the standard errors of those to the conversion rate."""
    coalitions, endings = _coalitions(journeys, path, channel)
    coalition, member = np.nonzero(coalitions)
    firsts, players = np.searchsorted(coalition, np.arange(len(coalitions))), len(journeys.channels)
    contributions = np.zeros((len(orders), 2, players))
    for turn, order in enumerate(orders if len(coalitions) else ()):
        place = np.argsort(order)
        # A coalition is complete when the last of its channels has joined.
        complete = np.maximum.reduceat(place[member], firsts)
        sums = np.cumsum([summed(complete, each, size=players) for each in endings], axis=1)
        contributions[turn][:, order] = np.diff(_rates(sums), prepend=0.0, axis=1)
    # An order and its reverse are one draw.
    draws = contributions[:, 0].reshape(-1, 2, players).mean(axis=1)
    spread = draws.std(axis=0, ddof=1)
    return contributions.mean(axis=0), spread / np.sqrt(len(draws))


def _coalitions(journeys: Journeys, path: Integers, channel: Integers) -> tuple[NDArray[np.bool_], Floats]:
    """The distinct channel sets as rows of true and false, and how journeys of each ended, shape (3, sets)."""
    members = np.zeros((journeys.starts.size, len(journeys.channels)), dtype=bool)
    members[path, channel] = True
    _, firsts, which = np.unique(np.packbits(members, axis=1), axis=0, return_index=True, return_inverse=True)
    sums = np.stack([summed(which.reshape(-1), each, size=firsts.size) for each in _endings(journeys)])
    return members[firsts], sums
