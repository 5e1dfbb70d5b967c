"""What runs below `tessera serve`: the web server or the worker, in a process that ends when its parent ends.

Standard input brings one line of orders, as JSON, and then nothing: its end says that the parent is gone.
Standard output says `ready` once. Everything is imported before the orders are read, while the parent is
busy bringing up the database.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from app.cli.orders import GRACE_SECONDS, READY, Orders

if TYPE_CHECKING:
    from app.config import Settings

KEEP_ALIVE_SECONDS = 65  # longer than the 60 s of most proxies, so that they are the ones who close


def web(listener: int, report: int) -> None:
    # What is read stays: looking through it again and again is a sixth of the start.
    gc.disable()
    import uvicorn

    from app.cli.installation import load_settings
    from app.main import create_app

    gc.enable()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                os.write(report, READY)

    settings = load_settings()
    orders = read_orders()
    write_logs(settings)
    config = uvicorn.Config(
        create_app(settings, database_url=orders["database_url"], secret=orders["secret"].encode()),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,  # the application writes its own line for each request
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config).run([socket.socket(fileno=listener)])


def worker(report: int) -> None:
    gc.disable()
    import app.worker  # noqa: F401  read now, while there are no orders yet
    from app.cli.installation import load_settings

    gc.enable()

    settings = load_settings()
    orders = read_orders()
    write_logs(settings)
    os.write(report, READY)
    run_jobs(settings, database_url=orders["database_url"], secret=orders["secret"].encode())


def run_jobs(settings: "Settings", *, database_url: str, secret: bytes) -> None:
    """Run jobs until SIGTERM or Ctrl-C."""
    import uvloop

    from app.worker import run_worker

    async def until_told() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run_worker(settings, database_url=database_url, secret=secret, stop=stop)

    uvloop.run(until_told())


def write_logs(settings: "Settings") -> None:
    from app.web import logs

    logs.configure(as_json=settings.log_format == "json", level=settings.log_level)


def read_orders() -> Orders:
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)  # the parent ended before it had orders for us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    orders: Any = json.loads(line)
    return Orders(database_url=orders["database_url"], secret=orders["secret"])


def _end_with_parent() -> NoReturn:
    # Everything kept is in the database, where half a transaction is none: nothing to tidy up first.
    while os.read(0, 1):
        pass
    os._exit(1)


def _take_report_pipe() -> int:
    """Standard output as a pipe to the parent that no stray print can reach."""
    report = os.dup(1)
    os.dup2(2, 1)
    return report


def main() -> None:
    report = _take_report_pipe()
    if sys.argv[1] == "web":
        web(int(sys.argv[2]), report)
    else:
        worker(report)


if __name__ == "__main__":
    main()
