"""The second derivative of the log-gamma function: the curvature of every likelihood here."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import zeta

Floats = npt.NDArray[np.float64]

# scipy brings no types for it.
_zeta: Callable[[float, npt.ArrayLike], Floats] = zeta


def trigamma(at: npt.ArrayLike) -> Floats:
    r"""Evaluate :math:`\psi'(z) = \sum_{i \ge 0} (z + i)^{-2}`.

    Parameters
    ----------
    at : array_like of float64
        Positive.

    Returns
    -------
    ndarray of float64, shape of `at`
        Positive.

    References
    ----------
    Abramowitz, M. and Stegun, I. A. (1964). Handbook of Mathematical Functions, equation 6.4.10.

    Examples
    --------
    >>> bool(abs(trigamma(1.0) - np.pi**2 / 6) < 1e-15)
    True
    """
    return _zeta(2.0, at)
