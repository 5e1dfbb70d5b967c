"""The integral over the moments at which a customer may have left: what Pareto/NBD is made of, without cancellation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Two powers of the nodes gather them at the far end, where the integrand may be a fractional power.
_CUBES, _CUBE_WEIGHTS = _NODES**3, 3 * _NODES**2 * _WEIGHTS
# How far, as a logarithm, the integrand may leave the power law before 24 nodes lose digits.
_LIKE_POWER_LAW = 1.0
_PANEL_NODES, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(12)
# In the logarithm of time, within which 12 nodes are exact to rounding.
_PANEL = 2.2
# exp(-40) = 4e-18: what lies beyond is not seen in a double.
_DROP = 40.0


@dataclass(frozen=True, slots=True)
class Span:
    r"""The integral of :math:`(\alpha + \tau)^{-k} (\beta + \tau)^{-(s + 1)}` over start..end, for many customers.

    Its integrand is positive: nothing cancels, as it does between the hypergeometric functions of the papers. The
    variable is the cumulated share of the power law with the same slope at the start, so that a steep decay
    (x = 400) and a flat one take the same 24 nodes; where alpha and beta lie too far apart for one power law, panels
    in the logarithm of time.

    Parameters
    ----------
    ages : ndarray of float64, shape (n, nodes)
        The nodes tau.
    shares : ndarray of float64, shape (n, nodes)
        What each node adds to the integral, as a share of it; sums to 1, or 0 where start = end.
    log_integral : ndarray of float64, shape (n,)
        Logarithm of the integral; -inf where start = end.
    """

    ages: Floats
    shares: Floats
    log_integral: Floats

    @classmethod
    def of(cls, parameters: Floats, x: Floats, start: Floats, end: Floats) -> "Span":
        """Integrate from start to end, shape (n,) each, 0 <= start <= end, for `parameters` r, alpha, s, beta, each
        one for all or shape (n,).

        Examples
        --------
        With alpha = beta = 1 and powers k = 1.5, s + 1 = 2 it is that of (1 + tau)^-3.5: (1 - 2^-2.5) / 2.5 over 0..1.

        >>> span = Span.of(np.array([0.5, 1.0, 1.0, 1.0]), np.ones(1), np.zeros(1), np.ones(1))
        >>> bool(abs(np.exp(span.log_integral[0]) * 2.5 - (1 - 2**-2.5)) < 1e-14)
        True
        """
        slopes, length = _slopes(parameters, x, start), (end - start)[:, None]
        like = not length.size or slopes.departure(length).max() <= _LIKE_POWER_LAW
        gone, widths = slopes.by_power_law(length) if like else slopes.by_panels(length)
        parts = np.exp(slopes.fall(gone)) * widths
        whole = parts.sum(axis=1)
        log_start = -slopes.k * np.log(slopes.from_alpha) - slopes.power * np.log(slopes.from_beta)
        with np.errstate(divide="ignore"):
            log_integral = log_start[:, 0] + np.log(whole)
        return cls(start[:, None] + gone, parts / np.where(whole > 0, whole, 1.0)[:, None], log_integral)


@dataclass(frozen=True, slots=True)
class _Slopes:
    """The integrand relative to its start, (1 + u / from_alpha)^-k (1 + u / from_beta)^-power; columns (n, 1)."""

    k: Floats
    from_alpha: Floats
    power: Floats
    from_beta: Floats

    @property
    def steepness(self) -> Floats:
        return self.k / self.from_alpha + self.power / self.from_beta

    @property
    def reach(self) -> Floats:
        """(1 + u / reach)^-(k + power) starts as steeply and ends as a lower bound."""
        return (self.k + self.power) / self.steepness

    def fall(self, gone: Floats) -> Floats:
        found: Floats = -self.k * np.log1p(gone / self.from_alpha) - self.power * np.log1p(gone / self.from_beta)
        return found

    def departure(self, length: Floats) -> Floats:
        """How far it ends above the power law, as a logarithm, at least 0: it never comes back to it."""
        found: Floats = self.fall(length) + (self.k + self.power) * np.log1p(length / self.reach)
        return found

    def by_power_law(self, length: Floats) -> tuple[Floats, Floats]:
        """Nodes from the start on, and the stretch of time that each stands for."""
        power = self.k + self.power - 1
        last = np.exp(-power * np.log1p(length / self.reach))
        log_y = np.log(last + (1 - last) * _CUBES)
        gone = self.reach * np.expm1(-log_y / power)
        return gone, np.exp(-(1 + 1 / power) * log_y) * (_CUBE_WEIGHTS * (1 - last) * self.reach / power)

    def by_panels(self, length: Floats) -> tuple[Floats, Floats]:
        """The same, evenly in log(1 + u / unit) as far as the integrand is seen."""
        with np.errstate(over="ignore"):
            seen = np.minimum(self.from_alpha * np.expm1(_DROP / self.k), self.from_beta * np.expm1(_DROP / self.power))
        unit = 1 / (self.steepness + 1 / self.from_alpha + 1 / self.from_beta)
        whole = np.log1p(np.minimum(length, seen) / unit)
        panels = max(1, int(np.ceil(whole.max() / _PANEL)))
        nodes = ((np.arange(panels)[:, None] + (_PANEL_NODES + 1) / 2) / panels).ravel()
        at = nodes * whole
        return unit * np.expm1(at), np.tile(_PANEL_WEIGHTS / 2 / panels, panels) * whole * unit * np.exp(at)


def _slopes(parameters: Floats, x: Floats, start: Floats) -> _Slopes:
    r, alpha, s, beta = parameters
    return _Slopes((r + x)[:, None], (alpha + start)[:, None], np.asarray(s + 1)[..., None], (beta + start)[:, None])


def alike(parameters: Floats, x: Floats, start: Floats, end: Floats) -> list[Integers]:
    """Part rows into those that few nodes do for and those that need more.

    Parameters
    ----------
    parameters, x, start, end
        As in `Span.of`, which takes as many nodes for all of its rows as the hardest needs.

    Returns
    -------
    list of ndarray of int64
        Places of rows; every row in one of them, none of them empty.

    Examples
    --------
    >>> x, start, end = np.zeros(2), np.zeros(2), np.array([0.1, 1000.0])
    >>> [rows.tolist() for rows in alike(np.array([0.2, 0.01, 1.0, 1000.0]), x, start, end)]
    [[0], [1]]
    """
    few = _slopes(parameters, x, start).departure((end - start)[:, None])[:, 0] <= _LIKE_POWER_LAW
    return [rows for rows in (np.flatnonzero(few), np.flatnonzero(~few)) if rows.size]
