"""How far the parameters may lie from their estimates, and how a forecast moves with them."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.stats.btyd.information import Convergence

Floats = npt.NDArray[np.float64]
Parameters = Mapping[str, float]

# Logarithms further from the estimate than this say nothing any more.
FARTHEST = 4.0


class Fitted(Protocol):
    """What the fits of purchases and of their value have in common."""

    @property
    def parameters(self) -> dict[str, float]: ...
    @property
    def log_covariance(self) -> Floats | None: ...
    @property
    def convergence(self) -> Convergence: ...


def parameter_draws(fit: Fitted, *, draws: int, seed: int = 0) -> list[dict[str, float]]:
    """Draw parameters that the data leave possible: normal in the logarithms, around the estimate.

    Parameters
    ----------
    fit : BtydFit or GammaGammaFit
        The estimate.
    draws : int
        How many, at least 0.
    seed : int, default 0
        For the draws.

    Returns
    -------
    list of dict of str to float
        Positive, finite. Parameters that the data do not determine stay where they are, as all do where
        `log_covariance` is None.

    References
    ----------
    Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd ed., section 4.1 (normal approximation).

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> from app.stats.btyd.histories import Histories
    >>> found = fit(Histories.of([2, 1, 0, 0, 4], [30.4, 1.7, 0, 0, 30], [38.9, 38.9, 38.9, 30, 31]), "bg_nbd")
    >>> len(parameter_draws(found, draws=3)), sorted(parameter_draws(found, draws=1)[0])
    (3, ['a', 'alpha', 'b', 'r'])
    """
    axes = _axes(fit)
    steps = np.random.default_rng(seed).standard_normal((draws, len(axes))) @ axes
    return _moved(fit.parameters, steps)


def _axes(fit: Fitted) -> Floats:
    """The principal axes of the covariance of the log-parameters, one standard deviation long each, as rows."""
    if fit.log_covariance is None:
        return np.zeros((0, len(fit.parameters)))
    sizes, axes = np.linalg.eigh(fit.log_covariance)
    some = sizes > np.finfo(np.float64).eps * sizes.max(initial=0.0)
    found: Floats = (axes[:, some] * np.sqrt(sizes[some])).T
    return found


def _moved(parameters: Parameters, by: Floats) -> list[dict[str, float]]:
    """The parameters with their logarithms moved by each row."""
    factors = np.exp(np.minimum(np.maximum(by, -FARTHEST), FARTHEST))
    found = factors * np.array(list(parameters.values()), dtype=np.float64)
    return [dict(zip(parameters, row, strict=True)) for row in found.tolist()]


def pairs(fit: Fitted) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Give the parameters one standard deviation up and down each principal axis of their covariance.

    Parameters
    ----------
    fit : BtydFit or GammaGammaFit
        The estimate.

    Returns
    -------
    list of pairs of dict of str to float
        One pair per axis, none where `log_covariance` is None.

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> from app.stats.btyd.histories import Histories
    >>> len(pairs(fit(Histories.of([2, 1, 0, 4], [30, 1, 0, 30], [38, 38, 38, 31]), "bg_nbd"))) <= 4
    True
    """
    axes = _axes(fit)
    return list(zip(_moved(fit.parameters, axes), _moved(fit.parameters, -axes), strict=True))


def moves(fit: Fitted, total: Callable[[Parameters], float], draws: int, rng: np.random.Generator) -> Floats:
    """Draw how far the logarithm of a total may lie from that at the estimate: a parabola along each axis.

    Parameters
    ----------
    fit : BtydFit or GammaGammaFit
        The estimate.
    total : callable
        Parameters -> the total, at least 0.
    draws : int
        How many, at least 0.
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of float64, shape (draws,)
        Within -4..4.

    Examples
    --------
    >>> from app.stats.btyd.fitting import fit
    >>> from app.stats.btyd.histories import Histories
    >>> found = fit(Histories.of([2, 1, 0, 4], [30, 1, 0, 30], [38, 38, 38, 31]), "bg_nbd")
    >>> moves(found, lambda parameters: 1.0, 2, np.random.default_rng(0)).tolist()
    [0.0, 0.0]
    """
    tiny = np.finfo(np.float64).tiny
    middle = np.log(max(total(fit.parameters), tiny))
    ends = [[np.log(max(total(end), tiny)) - middle for end in pair] for pair in pairs(fit)]
    up, down = np.array(ends).reshape(-1, 2).T
    steps = rng.standard_normal((draws, up.size))
    found: Floats = steps @ ((up - down) / 2) + steps**2 @ ((up + down) / 2)
    return np.clip(found, -FARTHEST, FARTHEST)
