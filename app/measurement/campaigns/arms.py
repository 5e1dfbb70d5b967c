"""Which arm a customer is in: a keyed hash, cut by the shares, the same for ever."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, LargeBinary, bindparam, case, func, literal

from app.tables.campaigns import HOLDOUT

WHOLE = 2**64


@dataclass(frozen=True, slots=True)
class Share:
    """An arm and its part of those assigned."""

    arm: str
    share: float


def campaign_key(secret: bytes, campaign_id: str) -> bytes:
    """Nobody without the secret can tell or choose an arm; arms of two campaigns have nothing to do with each other."""
    return hmac.digest(secret, b"campaign arms\x00" + campaign_id.encode(), hashlib.sha256)


def holdout_key(secret: bytes, holdout_id: object) -> bytes:
    """The same for a global holdout."""
    return hmac.digest(secret, b"global holdout\x00" + str(holdout_id).encode(), hashlib.sha256)


def drawn(key: bytes, customer_id: ColumnElement[str]) -> ColumnElement[bytes]:
    """The customer's place in the hash space. The key has one length, so that no two inputs are the same bytes."""
    given = bindparam(None, key, LargeBinary, unique=True)
    return func.sha256(given.op("||")(func.convert_to(customer_id, "UTF8")), type_=LargeBinary)


def below(place: ColumnElement[bytes], share: float) -> ColumnElement[bool]:
    """Whether a place lies in the first part of the hash space; places compare byte by byte, as numbers would."""
    return place < bindparam(None, edge(share), LargeBinary, unique=True)


def edge(share: float) -> bytes:
    """Where the first part of this share ends: eight bytes, of which the last value stands for everything."""
    return min(round(share * WHOLE), WHOLE - 1).to_bytes(8, "big")


def arm_at(place: ColumnElement[bytes], shares: Sequence[Share]) -> ColumnElement[str]:
    """The arm at a place: arms in their order, each with its share; the last one takes what is left."""
    edges, total = [], 0.0
    for each in shares[:-1]:
        total += each.share
        edges.append((below(place, total), literal(each.arm)))
    return case(*edges, else_=literal(shares[-1].arm)) if edges else literal(shares[-1].arm)


def shares_of(holdout_share: float, variants: Sequence[dict[str, object]]) -> tuple[Share, ...]:
    """All arms of a campaign, the holdout first; without one where nothing is held out."""
    arms = tuple(Share(str(each["arm"]), float(str(each["share"]))) for each in variants)
    return (Share(HOLDOUT, holdout_share), *arms) if holdout_share > 0 else arms
