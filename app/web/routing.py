"""How routers are made, so that all of them are strict and declare what every route may answer."""

from fastapi import APIRouter

from app.web.body import StrictRoute
from app.web.problems import declared

# What any protected route may answer besides its own: bad input, no key, no scope, gone wrong, come back later.
ALWAYS = (400, 401, 403, 413, 415, 422, 500, 503)


def router_for(prefix: str, *, tag: str) -> APIRouter:
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, responses=declared(*ALWAYS))
