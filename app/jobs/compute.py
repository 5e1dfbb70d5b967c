"""CPU work goes to other processes, so that neither the event loop nor its heartbeat ever waits for it."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")

# Training must never take the cores from serving.
NICENESS = 10


def _quiet_process() -> None:
    os.nice(NICENESS)
    for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> NoReturn:
    # The pool itself never notices that its owner was killed: its processes would wait for work for ever.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A function by name, so that the caller need not import what it imports."""

    module: str
    name: str

    def __call__(self, *arguments: Any) -> Any:
        return getattr(import_module(self.module), self.name)(*arguments)


class Compute:
    """A pool of niced processes for pure functions; started when first used."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a module-level function with picklable arguments in another process."""
        if self._pool is None:
            # spawn: a forked child would share the parent's database sockets and locks.
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet_process
            )
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
