"""Keeps the processes below `tessera serve` running, and stops them in order: nothing it started outlives it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import FrameType

from app.cli.failures import CommandFailed, say
from app.cli.orders import GRACE_SECONDS, Orders
from app.clock import growing_pause

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
TICK_SECONDS = 0.1
# A child that lived this long was well: the next death is the first one again.
WELL_AFTER_SECONDS = 30.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 15.0
# What a child may take beyond its own grace before it is killed.
MARGIN_SECONDS = 3.0
# Several requests or jobs at once share the cores; each library taking all of them would only make them wait.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class StopSignals:
    """Ctrl-C, SIGTERM and the closing of the terminal, counted instead of acted upon."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._arrived)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup sets it to be ignored
            signal.signal(signal.SIGHUP, self._arrived)

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


class Child:
    """One process of ours, started again when it dies, later each time it dies young."""

    def __init__(
        self, role: str, *, listener: socket.socket | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.role, self.ready = role, False
        self._listener, self._environment = listener, dict(environment or {})
        self._orders: bytes | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._began, self._deaths, self._again_at = 0.0, 0, 0.0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Begin to import, and wait for orders."""
        fds = (self._listener.fileno(),) if self._listener else ()
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter runs our own module
            # -P: a folder `app` where the command is run must not be taken for ours.
            [sys.executable, "-P", "-m", "app.cli.child", self.role, *map(str, fds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=fds,
            env={**ONE_THREAD, **os.environ, **self._environment},
            start_new_session=True,  # the terminal's Ctrl-C is for us, who then stop it
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._began = time.monotonic()
        if self._orders is not None:
            self._send()

    def order(self, orders: Orders) -> None:
        """Let it begin its work, now if it was started, and whenever it is started again."""
        self._orders = json.dumps(orders).encode() + b"\n"
        if self._process is not None:
            self._send()

    def _send(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._orders is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(self._orders)

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def listen(self) -> None:
        """Hear whether it is ready."""
        if not self.ready and self._process is not None and self._process.stdout is not None:
            self.ready = bool(self._process.stdout.read(100))

    def revive(self) -> None:
        """Start it again if it died, after a pause that grows with each death soon after a start."""
        now = time.monotonic()
        if self._process is not None and (code := self._process.poll()) is not None:
            self._deaths = 1 if now - self._began > WELL_AFTER_SECONDS else self._deaths + 1
            pause = growing_pause(FIRST_PAUSE_SECONDS, self._deaths - 1, longest=LONGEST_PAUSE_SECONDS)
            say(f"the {self.role} process {self._process.pid} ended ({ended(code)}); starting it again in {pause:g} s")
            self._let_go()
            self._again_at = now + pause
        if self._process is None and now >= self._again_at:
            self.start()

    def close_listener(self) -> None:
        """With our copy of the port gone, it closes when the web processes have closed theirs."""
        if self._listener is not None:
            self._listener.close()

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._let_go()

    def _let_go(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


class Supervisor:
    """Runs children until a signal asks to stop."""

    def __init__(self, children: Sequence[Child], *, signals: StopSignals) -> None:
        self._children, self._signals = children, signals

    def run(self, on_ready: Callable[[], None]) -> None:
        """Watch over the children; `on_ready` is called once, when every web process serves.

        The worker begins then: while they start it would only take processor time from them.
        """
        announced = False
        while not self._signals.count:
            for child in self._children:
                child.listen()
                if not announced:
                    self._require_life(child)
                if announced or child.role == "web":
                    child.revive()
            if not announced and all(child.ready for child in self._children if child.role == "web"):
                announced = True
                on_ready()
            time.sleep(TICK_SECONDS)

    def _require_life(self, child: Child) -> None:
        """A web process that cannot even start would not do better the second time."""
        if child.role == "web" and not child.ready and (code := child.exit_code()) is not None:
            raise CommandFailed(
                f"the web process could not start ({ended(code)})",
                remedy="what it wrote above says why; `tessera check` looks into the set-up",
            )

    def stop(self) -> None:
        """Stop answering first, then working. A second signal shortens the wait."""
        for child in self._children:
            child.close_listener()
        for role in ("web", "worker"):
            self._stop([child for child in self._children if child.role == role])

    def _stop(self, children: Iterable[Child]) -> None:
        children = list(children)
        for child in children:
            child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS + MARGIN_SECONDS
        while time.monotonic() < deadline and self._signals.count < 2 and any(_lives(child) for child in children):
            time.sleep(TICK_SECONDS / 4)
        for child in children:
            child.kill()


def _lives(child: Child) -> bool:
    return child.pid != 0 and child.exit_code() is None


def ended(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
