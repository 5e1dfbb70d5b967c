"""The guard before every connection to a receiver: its name is resolved here, and what was checked is what is called."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from app.activation.webhooks.addresses import HOST_NAME, Address, Allowed, as_address

PORTS = {"http": 80, "https": 443}
# A name server that does not answer may hold up as many look-ups, and nothing else of this process.
LOOKUPS_AT_ONCE = 8
# Of a receiver with several addresses: how many are tried in one attempt.
ADDRESSES_TRIED = 3

# (host, port) to addresses, in the order of preference.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class BadURL(ValueError):
    """A URL that no message will be sent to: `code` is stable, the text is for a person."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class NotAllowed(Exception):
    """A host that leads where nobody may send this service to. Where that is stays unsaid."""


class Resolver:
    """The names of the operating system, looked up in threads of our own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="webhook names")

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Guard:
    """Says which URLs may be sent to, and at each attempt to which addresses."""

    def __init__(self, allowed: Allowed, *, resolve: Resolve | None = None) -> None:
        self._allowed = allowed
        self._resolve = resolve

    def check_url(self, text: str) -> httpx2.URL:
        """The URL in a text, unless it can be seen to be none that may be sent to. Names are not looked up here."""
        try:
            url = httpx2.URL(text)
        except (httpx2.InvalidURL, ValueError):
            raise BadURL("invalid_url", "not a URL such as https://example.com/hooks") from None
        host = host_of(url)
        if url.scheme not in PORTS or (as_address(host) is None and HOST_NAME.fullmatch(host) is None):
            raise BadURL("invalid_url", "not a URL such as https://example.com/hooks")
        if url.userinfo or url.fragment or not 0 < port_of(url) < 65_536:
            raise BadURL("invalid_url", "a URL without user name, password and fragment, with a port from 1 to 65535")
        if url.scheme != "https" and not self._allowed.trusts(host):
            raise BadURL("https_needed", "messages are sent by https only, so that nobody else reads them")
        address = as_address(host)
        if address is not None and not self._allowed.permits(host, address):
            raise BadURL("address_not_allowed", "the address is not one of the public internet")
        return url

    async def addresses(self, url: httpx2.URL) -> list[str]:
        """The addresses of a URL's host, now, each of which may be called. One that may not spoils them all.

        Raises NotAllowed, and OSError when there are none.
        """
        host = host_of(url)
        literal = as_address(host)
        found: Sequence[Address]
        if literal is not None:
            found = [literal]
        else:
            assert self._resolve is not None, "who sends can look names up"
            spelled = await self._resolve(host, port_of(url))
            found = [address for each in spelled if (address := as_address(each)) is not None]
        if not found:
            raise OSError("no address")
        if not all(self._allowed.permits(host, address) for address in found):
            raise NotAllowed
        return [str(address) for address in found[:ADDRESSES_TRIED]]


def host_of(url: httpx2.URL) -> str:
    """The host as it is looked up: lower case, in ASCII."""
    return url.raw_host.decode("ascii").lower()


def port_of(url: httpx2.URL) -> int:
    return PORTS[url.scheme] if url.port is None else url.port


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to checked addresses only; Host header, SNI and certificate stay those of the name.

    Connections are kept by name: one made for a name is never used for another name at the same address.
    """

    def __init__(self, guard: Guard, *, verify: Any) -> None:
        self._guard, self._verify = guard, verify
        self._pools: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        addresses = await self._guard.addresses(request.url)
        host = host_of(request.url)
        if host not in self._pools:
            self._pools[host] = httpx2.AsyncHTTPTransport(verify=self._verify, trust_env=False)
        for address in addresses[:-1]:
            try:
                return await self._pools[host].handle_async_request(pinned(request, host=host, address=address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._pools[host].handle_async_request(pinned(request, host=host, address=addresses[-1]))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def pinned(request: httpx2.Request, *, host: str, address: str) -> httpx2.Request:
    """The same request to an address in place of a name. Its Host header was made from the name already."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
