"""What the running service holds, handed to every request as one typed value."""

from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection

from app.clock import Clock
from app.db.engine import Database


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Values that requests need: where data lives, what time it is, what signs, how money and days are cut."""

    database: Database
    clock: Clock
    secret: bytes
    currency: str
    timezone: ZoneInfo


def state_of(request: HTTPConnection) -> ServiceState:
    return cast(ServiceState, request.app.state.service)
