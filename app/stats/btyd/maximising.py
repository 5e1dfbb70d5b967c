"""Newton's method within bounds, for likelihoods of a handful of parameters whose curvature is known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Position -> value, gradient, Hessian.
Objective = Callable[[Floats], tuple[float, Floats, Floats]]

MAX_ITERATIONS = 100
# In units of the log-likelihood: a thousandth of a standard error. The step that promises so little is still made and
# lands far closer; one that promises a millionth of a standard error is not.
TOLERANCE, _NOTHING = 1e-6, 1e-12
_FIRST_RADIUS, _MAX_RADIUS, _MIN_RADIUS = 1.0, 4.0, 1e-8
_SUFFICIENT = 1e-4


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where the climb ended.

    Parameters
    ----------
    position, gradient : ndarray of float64, shape (k,)
        The parameters, within the bounds, and the slope there.
    value : float
        The log-likelihood there.
    hessian : ndarray of float64, shape (k, k)
        Its second derivatives there.
    iterations : int
        Evaluations of the likelihood, at least 1.
    settled : bool
        True when no step within the bounds would gain more than the tolerance.
    at_bounds : ndarray of bool, shape (k,)
        Which parameters were stopped by a bound.
    """

    position: Floats
    value: float
    gradient: Floats
    hessian: Floats
    iterations: int
    settled: bool
    at_bounds: Bools


def maximise(
    objective: Objective, start: Floats, low: Floats, high: Floats, *, tolerance: float = TOLERANCE
) -> Maximum:
    """Climb from a start to a local maximum within a box.

    Newton steps with the eigenvalues of the curvature taken at their absolute size, so that a saddle or a region
    that is not concave is left uphill, and cut to a trust radius that follows success. A parameter that presses
    against a bound is held there while it does.

    Parameters
    ----------
    objective : callable
        Position, shape (k,) -> value, gradient (k,), Hessian (k, k). A value that is not finite is a step refused.
    start, low, high : ndarray of float64, shape (k,)
        Where to begin (must be a finite point of the objective), and the box.
    tolerance : float
        Gain, in units of the value, below which a step is not worth taking.

    Returns
    -------
    Maximum
        The best point reached, `settled` or not.

    References
    ----------
    Nocedal, J. and Wright, S. J. (2006). Numerical Optimization, 2nd ed., chapters 3.4 and 4.
    Dauphin, Y. et al. (2014). Identifying and attacking the saddle point problem. NeurIPS 27, section 4.

    Examples
    --------
    >>> found = maximise(
    ...     lambda p: (-float(((p - 2) ** 2).sum()), -2 * (p - 2), -2 * np.eye(1)),
    ...     np.array([0.0]), np.array([-5.0]), np.array([5.0]),
    ... )
    >>> found.position.tolist(), found.settled
    ([2.0], True)
    """
    position = np.clip(start, low, high)
    value, gradient, hessian = objective(position)
    radius, iterations, settled = _FIRST_RADIUS, 1, False
    while iterations < MAX_ITERATIONS and radius > _MIN_RADIUS:
        free = ~_pressing(position, gradient, low, high)
        step, gain = _step(gradient, hessian, free, radius)
        candidate = np.clip(position + step, low, high)
        settled = gain < tolerance
        if gain < _NOTHING:
            break
        tried = objective(candidate)
        iterations += 1
        if settled:
            # So near the top that its height is rounding; the step itself is still good.
            if np.isfinite(tried[0]) and tried[0] >= value - max(tolerance, 1e-12 * abs(value)):
                position, (value, gradient, hessian) = candidate, tried
            break
        slope = float(gradient @ (candidate - position))
        if np.isfinite(tried[0]) and tried[0] > value + _SUFFICIENT * min(slope, gain):
            position, (value, gradient, hessian) = candidate, tried
            radius = min(2 * radius, _MAX_RADIUS)
        else:
            radius = float(np.abs(step).max()) / 4
    at_bounds = (position <= low) | (position >= high)
    return Maximum(position, value, gradient, hessian, iterations, settled, at_bounds)


def _pressing(position: Floats, gradient: Floats, low: Floats, high: Floats) -> Bools:
    pressed: Bools = ((position <= low) & (gradient <= 0)) | ((position >= high) & (gradient >= 0))
    return pressed


def _step(gradient: Floats, hessian: Floats, free: Bools, radius: float) -> tuple[Floats, float]:
    """The step and the gain that a parabola promises for all of it (before the cut to the radius)."""
    step = np.zeros_like(gradient)
    if not free.any():
        return step, 0.0
    sizes, axes = np.linalg.eigh(hessian[np.ix_(free, free)])
    along = axes.T @ gradient[free]
    bends = np.maximum(np.abs(sizes), 1e-12 * max(1.0, float(np.abs(sizes).max())))
    # Along a flat axis a promise without end is no promise: one radius is all that is gone.
    lengths = np.clip(along / bends, -radius, radius)
    step[free] = axes @ lengths
    longest = float(np.abs(step).max())
    return step * min(1.0, radius / longest) if longest > 0 else step, float(np.abs(lengths * along).sum()) / 2
