"""What fitted customers will do: are they alive, how much will they buy, will they be silent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.stats.btyd.families import PARAMETERS, Family, in_order
from app.stats.btyd.processes import PROCESSES
from app.stats.estimate import StatsError

Floats = npt.NDArray[np.float64]

# Customers few enough to be worked out together by every set of parameters.
_FEW = 64
# Rows looked at together: their columns stay in the processor's cache.
_CHUNK = 8_192


def p_alive(
    family: Family, parameters: Mapping[str, float], x: npt.ArrayLike, t_x: npt.ArrayLike, T: npt.ArrayLike
) -> Floats:
    """Give the probability that customers have not dropped out by T.

    Parameters
    ----------
    family : Family
        Of the model.
    parameters : mapping of str to float
        Its parameters, positive.
    x, t_x, T : array_like of float64, shape (n,)
        Histories as in `Histories`, one customer each; times in the unit of the fit.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]. 1 under BG/NBD for everyone without a repeat purchase: nobody can have dropped out yet. It answers
        "still a customer", not "will buy soon": for that take `p_no_purchase`.

    Raises
    ------
    StatsError
        If the columns differ in length.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2008). Computing P(alive) using the BG/NBD model. Note 21, brucehardie.com.
    Schmittlein, D. C., Morrison, D. G. and Colombo, R. (1987). Management Science 33(1), 1-24, equations 11 to 13.

    Examples
    --------
    CDNOW's customer 1:

    >>> cdnow = {"r": 0.242593, "alpha": 4.413532, "a": 0.792921, "b": 2.425895}
    >>> p_alive("bg_nbd", cdnow, [2], [30.43], [38.86]).round(4).tolist()
    [0.7266]
    """
    columns = _columns(x, t_x, T)
    return _alive(family, in_order(family, parameters), *columns)


def expected_purchases(
    family: Family,
    parameters: Mapping[str, float],
    t: float,
    x: npt.ArrayLike,
    t_x: npt.ArrayLike,
    T: npt.ArrayLike,
) -> Floats:
    """Expect each customer's purchases in (T, T + t].

    Parameters
    ----------
    family, parameters, x, t_x, T
        As in `p_alive`.
    t : float
        Horizon, at least 0, in the unit of the fit.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, finite. For any x, T and t: quadrature and closed forms, no hypergeometric series.

    Raises
    ------
    StatsError
        If `t` is negative or not finite, or the columns differ in length.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). Marketing Science 24(2), 275-284, equation 10.
    Fader, P. S. and Hardie, B. G. S. (2005). A note on deriving the Pareto/NBD model. Note 9, brucehardie.com,
    equation 41.

    Examples
    --------
    The published example, 1.226:

    >>> cdnow = {"r": 0.242593, "alpha": 4.413532, "a": 0.792921, "b": 2.425895}
    >>> expected_purchases("bg_nbd", cdnow, 39.0, [2], [30.43], [38.86]).round(3).tolist()
    [1.226]
    """
    return discounted_expected_purchases(family, parameters, t, 0.0, x, t_x, T)


def discounted_expected_purchases(  # noqa: PLR0913  # a model, a horizon, a rate and a history are what there is
    family: Family,
    parameters: Mapping[str, float],
    t: float,
    discount_rate: float,
    x: npt.ArrayLike,
    t_x: npt.ArrayLike,
    T: npt.ArrayLike,
) -> Floats:
    r"""Expect each customer's purchases in (T, T + t], one at T + u counted as :math:`e^{-\delta u}`.

    Times the value of a purchase it is the customer's lifetime value within the horizon.

    Parameters
    ----------
    family, parameters, t, x, t_x, T
        As in `expected_purchases`.
    discount_rate : float
        :math:`\delta`, continuous, per unit of time, at least 0: log(1 + d) / 365.25 for d a year and days.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, at most `expected_purchases`.

    Raises
    ------
    StatsError
        If `t` or `discount_rate` is negative or not finite, or the columns differ in length.

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). RFM and CLV: using iso-value curves for customer base
    analysis. Journal of Marketing Research 42(4), 415-430, equation 4 (there without a horizon).

    Examples
    --------
    >>> cdnow = {"r": 0.553277, "alpha": 10.577683, "s": 0.60624, "beta": 11.668733}
    >>> discounted_expected_purchases("pareto_nbd", cdnow, 52.0, 0.0018, [2], [30.43], [38.86]).round(3).tolist()
    [1.773]
    """
    _check_span("t", t)
    _check_span("discount_rate", discount_rate)
    counts, last, age = _columns(x, t_x, T)
    return _expected(family, in_order(family, parameters), (t, discount_rate), counts, last, age)


class Outlook(NamedTuple):
    """`p_alive`, `expected_purchases` and `discounted_expected_purchases` of each customer, shape (n,)."""

    p_alive: Floats
    expected: Floats
    discounted: Floats


def outlook(  # noqa: PLR0913  # as in discounted_expected_purchases
    family: Family,
    parameters: Mapping[str, float],
    t: float,
    discount_rate: float,
    x: npt.ArrayLike,
    t_x: npt.ArrayLike,
    T: npt.ArrayLike,
) -> Outlook:
    """Forecast all that a lifetime value is made of, at the cost of little more than its dearest part.

    Parameters
    ----------
    family, parameters, t, discount_rate, x, t_x, T
        As in `discounted_expected_purchases`.

    Returns
    -------
    Outlook
        What the functions of these names give.

    Raises
    ------
    StatsError
        As `discounted_expected_purchases`.

    Examples
    --------
    >>> cdnow = {"r": 0.242593, "alpha": 4.413532, "a": 0.792921, "b": 2.425895}
    >>> [each.round(3).tolist() for each in outlook("bg_nbd", cdnow, 39.0, 0.0018, [2], [30.43], [38.86])]
    [[0.727], [1.226], [1.186]]
    """
    _check_span("t", t)
    _check_span("discount_rate", discount_rate)
    counts, last, age = _columns(x, t_x, T)
    process, ordered = PROCESSES[family], in_order(family, parameters)
    alive = _alive(family, ordered, counts, last, age)
    if counts.size <= _FEW:
        bought, discounted = process.both_if_alive(ordered, t, discount_rate, counts, age)
    else:
        bought = process.purchases_if_alive(ordered, t, counts, age)
        discounted = bought
        if discount_rate > 0:
            discounted = process.discounted_if_alive(ordered, t, discount_rate, counts, age)
    return Outlook(alive, alive * bought, alive * discounted)


def discounted_by_parameters(  # noqa: PLR0913  # as in discounted_expected_purchases
    family: Family,
    several: Sequence[Mapping[str, float]],
    t: float,
    discount_rate: float,
    x: npt.ArrayLike,
    t_x: npt.ArrayLike,
    T: npt.ArrayLike,
) -> Iterator[Floats]:
    """Give `discounted_expected_purchases` by one set of parameters after the other; of few customers all at once.

    Parameters
    ----------
    family, t, discount_rate, x, t_x, T
        As in `discounted_expected_purchases`.
    several : sequence of mapping of str to float
        Parameters.

    Returns
    -------
    iterator of ndarray of float64, shape (n,)
        One per set.

    Raises
    ------
    StatsError
        As `discounted_expected_purchases`.

    Examples
    --------
    >>> cdnow = {"r": 0.242593, "alpha": 4.413532, "a": 0.792921, "b": 2.425895}
    >>> both = discounted_by_parameters("bg_nbd", [cdnow, {**cdnow, "a": 0.9}], 39.0, 0.0018, [2], [30.43], [38.86])
    >>> [each.round(3).tolist() for each in both]
    [[1.186], [1.122]]
    """
    _check_span("t", t)
    _check_span("discount_rate", discount_rate)
    columns = _columns(x, t_x, T)
    ordered = [in_order(family, each) for each in several]
    n = columns[0].size
    if n > _FEW:
        return (_expected(family, each, (t, discount_rate), *columns) for each in ordered)
    each_row = np.repeat(np.reshape(ordered, (-1, len(PARAMETERS[family]))), n, axis=0).T
    stacked = (np.tile(column, len(ordered)) for column in columns)
    return iter(_expected(family, each_row, (t, discount_rate), *stacked).reshape(len(ordered), n))


def p_no_purchase(
    family: Family,
    parameters: Mapping[str, float],
    t: float,
    x: npt.ArrayLike,
    t_x: npt.ArrayLike,
    T: npt.ArrayLike,
) -> Floats:
    r"""Give the probability that customers buy nothing in (T, T + t]: gone, or alive and silent.

    :math:`1 - P(alive) (1 - P(silent | alive))`, which is also L(x, t_x, T + t) / L(x, t_x, T).

    Parameters
    ----------
    family, parameters, t, x, t_x, T
        As in `expected_purchases`.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]; the churn probability at the horizon t.

    Raises
    ------
    StatsError
        If `t` is negative or not finite, or the columns differ in length.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2014). Deriving the conditional PMF of the Pareto/NBD model. Note 28,
    brucehardie.com; for the others from the likelihoods of their papers, as above.

    Examples
    --------
    >>> cdnow = {"r": 0.242593, "alpha": 4.413532, "a": 0.792921, "b": 2.425895}
    >>> p_no_purchase("bg_nbd", cdnow, 39.0, [2, 0], [30.43, 0], [38.86, 38.86]).round(3).tolist()
    [0.445, 0.856]
    """
    _check_span("t", t)
    counts, last, age = _columns(x, t_x, T)
    ordered = in_order(family, parameters)
    bought = 1 - PROCESSES[family].silence_if_alive(ordered, t, counts, age)
    found: Floats = np.clip(1 - _alive(family, ordered, counts, last, age) * bought, 0.0, 1.0)
    return found


def _expected(  # a model, what is asked and a history
    family: Family, ordered: Floats, ahead: tuple[float, float], x: Floats, t_x: Floats, T: Floats
) -> Floats:
    """Expected purchases within a horizon, discounted at a rate."""
    t, discount_rate = ahead
    process = PROCESSES[family]
    if discount_rate > 0:
        buying = process.discounted_if_alive(ordered, t, discount_rate, x, T)
    else:
        buying = process.purchases_if_alive(ordered, t, x, T)
    buying *= _alive(family, ordered, x, t_x, T)
    return buying


def _alive(family: Family, ordered: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    log_odds_gone = PROCESSES[family].log_odds_gone
    if x.size <= _CHUNK:
        return _chances(log_odds_gone(ordered, x, t_x, T))
    found = np.empty(x.size)
    for start in range(0, x.size, _CHUNK):
        rows = slice(start, start + _CHUNK)
        found[rows] = _chances(log_odds_gone(ordered, x[rows], t_x[rows], T[rows]))
    return found


def _chances(log_odds_gone: Floats) -> Floats:
    # Odds beyond any double leave no chance at all.
    with np.errstate(over="ignore"):
        np.exp(log_odds_gone, out=log_odds_gone)
    log_odds_gone += 1
    return np.reciprocal(log_odds_gone, out=log_odds_gone)


def _columns(x: npt.ArrayLike, t_x: npt.ArrayLike, T: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    columns = tuple(np.asarray(column, dtype=np.float64) for column in (x, t_x, T))
    if columns[0].ndim != 1 or len({column.shape for column in columns}) != 1:
        raise StatsError("x, t_x and T are columns of one length")
    return columns[0], columns[1], columns[2]


def _check_span(name: str, span: float) -> None:
    if not 0.0 <= span < np.inf:
        raise StatsError(f"{name} is a finite number and not negative, not {span}")
