"""A route for the hot read: plain questions are answered past the framework's solving of dependencies."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.web.auth import Require

# Answers a request that was let in, or null to have it handled in the ordinary way.
Direct = Callable[[Request], Awaitable[Response | None]]


class DirectRoute(APIRoute):
    """An ordinary route in everything but speed: a request without a query goes to `direct` of its endpoint.

    It is documented, and its scope is found and demanded, like that of any other route.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        ordinary = super().get_route_handler()
        guards = [each.call for each in self.dependant.dependencies if isinstance(each.call, Require)]
        direct: Direct = self.endpoint.direct  # type: ignore[attr-defined]  # set by @directly

        async def handle(request: Request) -> Response:
            if not request.scope["query_string"]:
                for guard in guards:
                    await guard(request)
                answer = await direct(request)
                if answer is not None:
                    return answer
            return await ordinary(request)

        return handle


def directly(direct: Direct) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give an endpoint its short way."""

    def mark(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        endpoint.direct = direct  # type: ignore[attr-defined]  # read by DirectRoute
        return endpoint

    return mark
