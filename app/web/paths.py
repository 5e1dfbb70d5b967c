"""Paths: which routes there are, and identifiers of the caller in them."""

from collections.abc import Iterable, Iterator
from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import APIRouter, Path
from pydantic import AfterValidator
from starlette.routing import BaseRoute

# A slash sent as %2F belongs to the identifier, not to the path.
# Stands for an encoded slash between the server, which decodes the whole path, and the route, which splits it.
# A private-use character that no identifier holds by accident.
STAND_IN = "\ue02f"
_ENCODED = quote(STAND_IN).encode()


def decoded_path(raw_path: bytes) -> str:
    """A path with everything decoded but encoded slashes."""
    return unquote(raw_path.replace(b"%2F", _ENCODED).replace(b"%2f", _ENCODED).decode("latin-1"))


def identifier(text: str) -> str:
    """A path parameter as the caller meant it."""
    return text.replace(STAND_IN, "/")


CustomerId = Annotated[
    str,
    Path(min_length=1, max_length=255, examples=["C-17"], description="Encode a slash in it as %2F."),
    AfterValidator(identifier),
]


def flattened(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Routes one by one, those of included routers among them; our routers carry their whole prefix themselves."""
    for route in routes:
        included: APIRouter | None = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from flattened(included.routes)
