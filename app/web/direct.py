"""A route for the hot paths: plain requests are answered past the framework's solving of dependencies."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.web.auth import Require

# Answers a request that was let in, or gives null, its body still unread, to have it handled in the ordinary way.
Direct = Callable[[Request], Awaitable[Response | None]]


class DirectRoute(APIRoute):
    """An ordinary route in everything but speed: a request without a query goes to `direct` of its endpoint.

    It is documented, and its scope is found and demanded, like that of any other route.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **values: Any) -> None:
        super().__init__(path, endpoint, **values)
        self._guards = [each.call for each in self.dependant.dependencies if isinstance(each.call, Require)]
        self._direct: Direct = endpoint.direct  # type: ignore[attr-defined]  # set by @directly

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["query_string"] and scope["method"] in (self.methods or ()):
            request = Request(scope, receive)
            for guard in self._guards:
                await guard(request)
            answer = await self._direct(request)
            if answer is not None:
                await answer(scope, receive, send)
                return
        await super().handle(scope, receive, send)


def directly(direct: Direct) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give an endpoint its short way."""

    def mark(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        endpoint.direct = direct  # type: ignore[attr-defined]  # read by DirectRoute
        return endpoint

    return mark
