"""Means over a beta-distributed chance to drop out, exact to rounding where hypergeometric series overflow or cancel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# The trapezoidal rule on the real line errs by exp(-2 pi d / h) for an integrand that is regular and bounded within d
# of it: d = pi / 2 here for a flat density, while a bell of width s costs exp(-2 (pi s / h)^2); in between the inverse
# squares of both steps add up. Below 1e-12 with these.
_STEP, _STEP_OF_WIDTH = 0.32, 0.8
# exp(-38) = 3e-17: what lies beyond is not seen in a double.
_DROP = 38.0
# Then exp(-38 a / (a + 1)) of the density is beyond, and less than a rounding of it.
_NARROW = 30.0
# Newton's method halves the way to a narrow bell at worst and has no far to go to any other.
_MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Dropout:
    """Nodes of quadrature over p ~ Beta(a, b_i), one row per i.

    The mean of f is taken as that of the line through f(0) and f(1), which is known, and of the rest by nodes: the
    rest decays faster than the density at both ends, however small a and b are.

    Parameters
    ----------
    p : ndarray of float64, shape (m, nodes)
        Chances to drop out, in (0, 1).
    per_p : ndarray of float64, shape (m, nodes)
        Weight of p f(p).
    at_zero, at_one : ndarray of float64, shape (m,)
        Weights of f(0) and f(1).
    """

    p: Floats
    per_p: Floats
    at_zero: Floats
    at_one: Floats

    @classmethod
    def of(cls, a: float | Floats, b: Floats, *, scale: Floats) -> "Dropout":
        """Place the nodes.

        Parameters
        ----------
        a : float or ndarray of float64, shape (m,)
            First parameter of the beta distribution, positive.
        b : ndarray of float64, shape (m,)
            Second parameter, positive.
        scale : ndarray of float64, shape (m,)
            Where f turns is about p = 1 / scale (at least 1).

        Examples
        --------
        >>> one = Dropout.of(0.8, np.array([2.4]), scale=np.ones(1))
        >>> mean = one.per_p @ one.p[0] ** 3 + one.at_one
        >>> bool(abs(mean[0] - 0.8 * 1.8 / (3.2 * 4.2)) < 1e-13)
        True
        """
        steps = 1 / np.sqrt(_STEP**-2 + a * b / (a + b) * _STEP_OF_WIDTH**-2)
        left, right = _edges(a, b, np.log(scale), steps)
        nodes = int(np.ceil(((right - left) / steps).max())) + 1
        h = (right - left)[:, None] / nodes
        at = left[:, None] + h * (np.arange(nodes) + 0.5)
        first, column = np.asarray(a)[..., None], b[:, None]
        odds = np.exp(at)
        stays = 1 / (1 + odds)
        p = np.maximum(odds * stays, np.finfo(np.float64).tiny)
        log_density = first * at - (first + column) * np.log1p(odds)
        weights = h * np.exp(log_density - betaln(a, b)[:, None])
        # A narrow bell lies within the nodes as a whole; the logarithm of its height is large and its rounding felt.
        narrow = np.minimum(a, b) > _NARROW
        if narrow.any():
            weights /= np.where(narrow, weights.sum(axis=1), 1.0)[:, None]
        nearer_zero, nearer_one = np.einsum("mn,mn->m", weights, stays), np.einsum("mn,mn->m", weights, p)
        return cls(p, weights / p, b / (a + b) - nearer_zero, a / (a + b) - nearer_one)

    def of_rows(self, rows: Integers | slice) -> "Dropout":
        """The nodes of some rows, in their order."""
        return Dropout(self.p[rows], self.per_p[rows], self.at_zero[rows], self.at_one[rows])


def _edges(a: float | Floats, b: Floats, log_scale: Floats, steps: Floats) -> tuple[Floats, Floats]:
    """Where on either side of the mode, in log(p / (1 - p)), the integrand is seen no more, or a little beyond.

    Its logarithm has fallen by h = a y + (a + b) (H - log(1 + e^y)) + min(y + log scale, 0) towards 0, and to 1 by the
    same with a and b exchanged, -y for y and a scale of 1; h is concave, so that its tangents cross 0 farther out than
    it does itself, the asymptote among them: Newton's method comes nearer from there and never too near.
    """
    whole = a + b
    height = np.log1p(a / b) * b + np.log1p(b / a) * a + _DROP
    near, turn = np.empty((2, b.size)), np.zeros((2, b.size))
    near[0], near[1], turn[0] = a, b, log_scale
    away = np.maximum(-height / near, -(height + turn) / (near + 1))
    for _ in range(_MOST_STEPS):
        still = np.exp(away)
        beyond = away + turn
        fallen = height + near * away - whole * np.log1p(still) + np.minimum(beyond, 0.0)
        step = -fallen / (near - whole * still / (1 + still) + (beyond < 0))
        away = away + step
        if not (step > steps).any():
            break
    return away[0], -away[1]
