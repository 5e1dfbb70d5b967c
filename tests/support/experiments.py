"""The two published experiments as sufficient statistics: Hillstrom's e-mails and the gates of Cookie Cats."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from app.stats.comparison.sums import Sums

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")


@cache
def table(path: Path) -> pa.Table:
    return csv.read_csv(path)


def cents(column: pa.ChunkedArray) -> np.ndarray:
    return np.rint(100 * pc.cast(column, pa.float64()).to_numpy()).astype(np.int64)


@cache
def hillstrom(folder: Path, column: str) -> dict[str, Sums]:
    """Sums by arm of a column (spend in cents), with the past year's spend in cents beside it."""
    rows = table(folder / "hillstrom" / "hillstrom.csv.gz")
    arm = rows["segment"].to_numpy(zero_copy_only=False)
    values = cents(rows[column]) if column == "spend" else rows[column].to_numpy()
    history = cents(rows["history"])
    return {name: Sums.of(values[arm == name], history[arm == name]) for name in ARMS}


def reference(folder: Path, name: str, file: str = "reference.json") -> dict[str, Any]:
    return json.loads((folder / name / file).read_text())


def sparse(generator: np.random.Generator, n: int, *, share: float, sigma: float) -> np.ndarray:
    """Amounts in cents: nothing of most customers, and log-normal amounts of 40 on average of this share of them."""
    amounts = np.exp(sigma * generator.standard_normal(n) - sigma**2 / 2)
    return np.rint(4000 * amounts * (generator.random(n) < share)).astype(np.int64)
