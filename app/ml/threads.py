"""One thread for what must be repeatable to the byte: several would add the same numbers in another order each time."""

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it brings no types


@functools.cache
def _controller() -> Any:
    # It knows the libraries that are loaded when it is made: not before they are used.
    return ThreadpoolController()


@contextmanager
def repeatable() -> Iterator[None]:
    """Run with one BLAS and OpenMP thread; what did not converge is reported as data, not as a Python warning."""
    with _controller().limit(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
