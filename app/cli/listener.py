"""The port of a service: taken before anything is started, shared by all web processes, kept while one is replaced."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.failures import CommandFailed

# After a kill -9 the children of the service before us need a moment to notice and let go of the port.
PATIENCE_SECONDS = 2.0
BACKLOG = 2048
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  shown, not bound


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there while the block runs."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            listener = bind(host, port)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise explained_refusal(error, host=host, port=port) from error
            time.sleep(0.1)
    with listener:
        yield listener


def bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def explained_refusal(error: OSError, *, host: str, port: int) -> CommandFailed:
    message = f"cannot listen on {host} port {port}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return CommandFailed(message, remedy=f"stop what uses it, or choose another: tessera serve --port {port + 1}")
    if error.errno == errno.EACCES:
        return CommandFailed(message, remedy="choose a port above 1023: tessera serve --port 8000")
    return CommandFailed(message, remedy="choose an address of this machine: tessera serve --host 127.0.0.1")


def address(listener: socket.socket, host: str) -> str:
    """The URL at which a program on this machine reaches it."""
    shown = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{listener.getsockname()[1]}"
