"""A load generator that costs little: keep-alive connections, requests made beforehand, answers counted by length."""

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import uvloop

from bench.ground import ADMIN_KEY


@dataclass(frozen=True)
class Load:
    """What a service bore for a while."""

    per_second: float
    p50_ms: float
    p99_ms: float


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is whole."""

    def __init__(self, requests: Sequence[bytes], latencies: list[float], offset: int) -> None:
        self._requests = itertools.islice(itertools.cycle(requests), offset, None)
        self._latencies = latencies
        self._buffer = b""
        self.stopping = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
        lowered = head.lower()
        length = int(lowered.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._latencies.append(time.perf_counter() - self._sent_at)
        if self.stopping:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        assert error is None, error
        if not self.closed.done():
            self.closed.set_result(None)


async def _drive(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    loop, latencies = asyncio.get_running_loop(), list[float]()
    made = []
    for number in range(connections):
        offset = number * len(requests) // connections
        _, protocol = await loop.create_connection(
            lambda offset=offset: _Connection(requests, latencies, offset), "127.0.0.1", port
        )
        made.append(protocol)
    await asyncio.sleep(seconds / 4)
    latencies.clear()
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    measured, took = sorted(latencies), time.perf_counter() - start
    for protocol in made:
        protocol.stopping = True
    await asyncio.wait([protocol.closed for protocol in made], timeout=5)
    p99 = measured[min(len(measured) - 1, int(len(measured) * 0.99))]
    return Load(len(measured) / took, statistics.median(measured) * 1_000, p99 * 1_000)


def get_requests(paths: Sequence[str]) -> list[bytes]:
    head = f"\r\nHost: bench\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n"
    return [f"GET {path} HTTP/1.1{head}".encode() for path in paths]


def post_requests(path: str, bodies: Sequence[bytes]) -> list[bytes]:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: "
    return [head.encode() + b"%d\r\n\r\n%b" % (len(body), body) for body in bodies]


def drive(port: int, paths: Sequence[str], *, connections: int = 16, seconds: float = 2.0) -> Load:
    """Ask for these paths in turn over some connections, for a while, after a short warm-up."""
    requests = get_requests(paths)
    random.Random(1).shuffle(requests)
    return drive_requests(port, requests, connections=connections, seconds=seconds)


def drive_requests(port: int, requests: Sequence[bytes], *, connections: int = 16, seconds: float = 2.0) -> Load:
    """The same with requests as they stand, in their order; those for one connection follow each other."""
    return uvloop.run(_drive(port, requests, connections, seconds))
