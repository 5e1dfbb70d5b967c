"""Principal components: fewer columns to fit in, folded away again before anybody is assigned."""

from typing import Any

import numpy as np

from app.ml.columns import Floats, Values
from app.ml.transform import Transform


def unprojected(parts: dict[str, Any], mean: Floats, axes: Floats) -> dict[str, Any]:
    """Bring a solution that was found in principal components back to the columns of the features.

    Distances to centres then differ by the same for all of them, so that the nearest stays the nearest.

    Parameters
    ----------
    parts : dict
        From a solution.
    mean : ndarray of float64, shape (columns,)
    axes : ndarray of float64, shape (p, columns)
        Orthonormal.

    Returns
    -------
    dict
        The same segments.
    """
    if "places" in parts:
        return {**parts, "mean": mean, "axes": axes}
    if "whiten" in parts:
        return {**parts, "means": parts["means"] @ axes + mean, "whiten": parts["whiten"] @ axes}
    return {**parts, "centres": parts["centres"] @ axes + mean}


def principal_axes(points: Floats, wanted: int | float | None) -> tuple[Floats, Floats]:
    """Give the mean and the principal axes of points.

    Parameters
    ----------
    points : ndarray of float64, shape (n, columns), n >= 1
        Places in the space of the model.
    wanted : int, float or None
        A number of axes, at least 1; the share of variance they hold together, in (0, 1); or None: all columns as
        they are.

    Returns
    -------
    mean : ndarray of float64, shape (columns,)
    axes : ndarray of float64, shape (p, columns)
        Orthonormal, the one of most variance first; its largest entry is positive.

    References
    ----------
    Pearson, K. (1901). On lines and planes of closest fit to systems of points in space. Philosophical Magazine 2(11),
    559-572.

    Examples
    --------
    >>> _, axes = principal_axes(np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.1]]), 1)
    >>> axes.round(2).tolist()
    [[1.0, 0.02]]
    """
    columns = points.shape[1]
    if wanted is None:
        return np.zeros(columns), np.eye(columns)
    mean = points.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(points, rowvar=False, bias=True)))
    variances, axes = np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T
    if isinstance(wanted, float):
        held = np.cumsum(variances) / max(float(variances.sum()), 1e-300)
        wanted = int(np.searchsorted(held, wanted - 1e-12)) + 1
    axes = axes[: min(wanted, columns)]
    signs = np.sign(axes[np.arange(axes.shape[0]), np.abs(axes).argmax(axis=1)])
    return mean, np.ascontiguousarray(axes * signs[:, np.newaxis])


def in_space(values: Values, transform: Transform, mean: Floats, axes: Floats) -> Floats:
    """Give customers' places in principal components; shape (n, p)."""
    points = transform.points(values)
    if axes.shape[0] == axes.shape[1] and np.array_equal(axes, np.eye(axes.shape[0])):
        return points
    return np.asarray((points - mean) @ axes.T, dtype=np.float64)
