"""How far each customer is from each segment, for methods that compare distances: one matrix product per block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.ml.columns import Floats, Integers
from app.ml.transform import Transform

# Distances this near to each other are a tie: rounding must not decide, or one row alone could differ from a block.
TIE = 1e-9
# For so few customers one call of NumPy costs more than its work.
FEW = 256


class Scorer(Protocol):
    """Scores segments for customers: the lowest wins; differences of scores mean something, their level does not."""

    def scores(self, rows: Floats) -> Floats:
        """Of prepared, not yet scaled features, shape (columns, n); shape (k, n)."""
        ...

    def margin(self, own: Integers, other: Integers, gap: Floats, /) -> Floats:
        """From own and runner-up labels and the difference of their scores: how clear the case is, at least 0."""
        ...

    def middles(self) -> Floats:
        """The middle of each segment, shape (k, columns)."""
        ...

    def contributions(self, points: Floats, own: Integers, other: Integers) -> Floats:
        """By how much each column speaks for own against other; of and in the shape (columns, n)."""
        ...


@dataclass(frozen=True, slots=True)
class Nearest:
    """Squared distance to the centres, less the part that is the same for all of them.

    Parameters
    ----------
    centres : ndarray of float64, shape (k, columns)
        In the space of the model.
    weights : ndarray of float64, shape (k, columns)
        -2 centre / scale: the scaling is folded in.
    bias : ndarray of float64, shape (k, 1)
    twice_apart : ndarray of float64, shape (k * k,)
        Twice the distance of each pair of centres.

    Notes
    -----
    :math:`|z - c|^2 - |z|^2 = |c|^2 - 2 c z` with :math:`z = (x - m) / s`.
    """

    centres: Floats
    weights: Floats
    bias: Floats
    twice_apart: Floats

    @classmethod
    def of(cls, parts: Mapping[str, Any], transform: Transform) -> "Nearest":
        """From the plain form."""
        centres = np.asarray(parts["centres"], dtype=np.float64)
        weights = -2.0 * centres / transform.scale.T
        bias = (centres**2).sum(axis=1, keepdims=True) - weights @ transform.centre
        apart = np.sqrt(((centres[:, np.newaxis] - centres) ** 2).sum(axis=2)).ravel()
        return cls(centres, weights, bias, np.maximum(2.0 * apart, 1e-300))

    def scores(self, rows: Floats) -> Floats:
        scores: Floats = self.weights @ rows
        scores += self.bias
        return scores

    def margin(self, own: Integers, other: Integers, gap: Floats, /) -> Floats:
        """The way to the plane between both centres, in standard deviations of a feature."""
        way: Floats = np.maximum(gap, 0.0)
        way /= self.twice_apart.take(own * self.centres.shape[0] + other)
        return way

    def middles(self) -> Floats:
        """The centres."""
        return self.centres

    def contributions(self, points: Floats, own: Integers, other: Integers) -> Floats:
        """Squared distance to the other centre less that to the own one; adds up to the difference of the scores."""
        k = self.centres.shape[0]
        near, far = np.repeat(self.centres, k, axis=0), np.tile(self.centres, (k, 1))
        # There are few pairs of segments: what depends on them alone is looked up.
        pairs = own * k + other
        found: Floats = (2.0 * (near - far)).T.take(pairs, axis=1)
        found *= points
        found += ((far - near) * (far + near)).T.take(pairs, axis=1)
        return found


@dataclass(frozen=True, slots=True)
class Mixture:
    """Negative log density of each component times its weight, by whitening with the Cholesky factor of its precision.

    Parameters
    ----------
    means : ndarray of float64, shape (k, columns)
        In the space of the model.
    whiten : ndarray of float64, shape (k, p, columns)
        Maps z - mean to p independent standard normal components.
    offset : ndarray of float64, shape (k,)
        log weight + log determinant of the whitening.
    """

    means: Floats
    whiten: Floats
    offset: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, parts: Mapping[str, Any], transform: Transform) -> "Mixture":
        """From the plain form."""
        means, whiten, offset = (np.asarray(parts[name], dtype=np.float64) for name in ("means", "whiten", "offset"))
        return cls(means, whiten, offset, transform.centre, transform.scale)

    def scores(self, rows: Floats) -> Floats:
        points = (rows - self.centre) / self.scale
        scores = np.empty((self.means.shape[0], rows.shape[1]))
        for row, mean, whiten, offset in zip(scores, self.means, self.whiten, self.offset, strict=True):
            white = whiten @ (points - mean[:, np.newaxis])
            white *= white
            np.sum(white, axis=0, out=row)
            row *= 0.5
            row -= offset
        return scores

    def margin(self, _own: Integers, _other: Integers, gap: Floats, /) -> Floats:
        """The log of how much more probable the own segment is than the runner-up."""
        return np.maximum(gap, 0.0)

    def confidence(self, scores: Floats, labels: Integers) -> Floats:
        """The probability of the segment that won, after Bayes."""
        best = scores[labels, np.arange(labels.size)]
        return np.asarray(1.0 / np.exp(np.minimum(best - scores, 0.0)).sum(axis=0), dtype=np.float64)

    def middles(self) -> Floats:
        """The means."""
        return self.means

    def contributions(self, points: Floats, own: Integers, other: Integers) -> Floats:
        """Shares of the columns in the difference of the Mahalanobis distances; weights and volumes stay outside."""
        return self._shares(points, other) - self._shares(points, own)

    def _shares(self, points: Floats, labels: Integers) -> Floats:
        shares = np.empty_like(points)
        for label in np.unique(labels):
            chosen = np.flatnonzero(labels == label)
            away = points[:, chosen] - self.means[label][:, np.newaxis]
            shares[:, chosen] = 0.5 * away * (self.whiten[label].T @ (self.whiten[label] @ away))
        return shares


def lowest(scores: Floats, among: npt.NDArray[np.bool_] | None = None) -> Integers:
    """Give the segment of the lowest score; within a tie, the first.

    Parameters
    ----------
    scores : ndarray of float64, shape (k, n)
        k >= 1.
    among : ndarray of bool, shape (k, n), optional
        False: not to be chosen.

    Returns
    -------
    ndarray of int64, shape (n,)
        In 0..k-1.

    Examples
    --------
    >>> lowest(np.array([[2.0, 1.0], [1.0, 1.0]])).tolist()
    [1, 0]
    """
    if among is not None:
        scores = np.where(among, scores, np.inf)
    limit = np.minimum.reduce(scores, axis=0)
    limit += TIE
    if limit.size <= FEW:
        return np.asarray((scores <= limit).argmax(axis=0), dtype=np.int64)
    labels = np.zeros(limit.shape, dtype=np.int64)
    for label in range(scores.shape[0] - 1, 0, -1):
        np.copyto(labels, label, where=scores[label] <= limit)
    if scores.shape[0] > 1:
        np.copyto(labels, 0, where=scores[0] <= limit)
    return labels
