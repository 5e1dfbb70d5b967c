"""Populations of customers made by hand, whose differences are known."""

import numpy as np

from app.modelling.features.attributes import attribute_feature
from app.modelling.features.definitions import BY_NAME, features_named


def numbers(*values):
    return np.array(values, dtype=np.float64)


def words(*values):
    return np.array(values, dtype=object)


def labels_of(*sizes, unassigned=0):
    """The first so many customers in segment 0, the next in 1 and so on, then those in none."""
    parts = [np.full(size, label) for label, size in enumerate(sizes)]
    return np.concatenate([*parts, np.full(unassigned, -1)]).astype(np.int64)


def cliffs_delta(group, rest):
    """By its definition, pair by pair (Cliff 1993, equation 3)."""
    return float(np.sign(np.subtract.outer(group, rest)).mean())


def shop():
    """Forty frequent spenders, forty who bought once long ago, and forty in between."""
    days = [*range(1, 41), *range(300, 340), *range(60, 140, 2)]
    count = [*([20, 25, 30, 22] * 10), *([1] * 40), *([4, 5, 6, 5] * 10)]
    values = {
        "days_since_last_purchase": numbers(*days),
        "purchase_count": numbers(*count),
        "total_spend": numbers(*(each * 50.0 + at % 7 for at, each in enumerate(count))),
    }
    return values, labels_of(40, 40, 40), features_named(values)


__all__ = ["BY_NAME", "attribute_feature", "features_named", "labels_of", "numbers", "shop", "words"]
