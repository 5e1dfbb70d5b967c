"""Seeded randomness: one stream for each part of the shop, so that changing one part leaves the others as they were."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int8]
Instants = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Streams:
    """The random generators of one seed, by name."""

    seed: int

    def of(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


def pick(rng: np.random.Generator, weights: Sequence[float], *, size: int) -> Codes:
    """Positions drawn by weight."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.searchsorted(edges[:-1], rng.random(size), side="right").astype(np.int8)


def pick_tilted(rng: np.random.Generator, weights: Sequence[float], *, tilts: Sequence[float], ranks: Floats) -> Codes:
    """Positions drawn by weight, where a high rank (0..1) favours positions with a high tilt.

    Attributes are drawn after what they hint at, so that the marginal distribution of the latter stays exact.
    """
    leaning = np.asarray(weights) * np.exp(np.asarray(tilts) * (ranks[:, None] - 0.5))
    edges = np.cumsum(leaning, axis=1)
    drawn = rng.random(ranks.size) * edges[:, -1]
    return np.asarray((drawn[:, None] >= edges[:, :-1]).sum(axis=1), np.int8)


def ranks_of(values: Floats) -> Floats:
    """Where each value stands among all, in 0..1."""
    ranks = np.empty(values.size)
    ranks[np.argsort(values, kind="stable")] = (np.arange(values.size) + 0.5) / max(values.size, 1)
    return ranks
