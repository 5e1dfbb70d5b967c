"""API keys as text: how they look, how a mistyped one is told, what of them is kept."""

import hashlib
import secrets
import zlib

PREFIX = "tsr_"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"
_SECRET_LENGTH = 40
_CHECK_LENGTH = 6

SCOPES = {
    "ingest": "push customers, transactions, events, costs and files",
    "customers:read": "read customers and their history",
    "customers:write": "merge and erase customers",
    "segments:read": "read segmentations, memberships, scores and audiences",
    "segments:write": "create, activate and refresh segmentations and models",
    "kpis:read": "read key figures",
    "roi:read": "read campaigns, results and returns",
    "roi:write": "create campaigns and initiatives",
    "admin": "everything, keys and the audit log included",
}


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), []
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def new_key() -> str:
    """A fresh key: 40 random characters (over 200 bits) and a checksum that catches typing errors."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_mistyped(key: str) -> bool:
    """Whether a key of ours cannot be right whatever the database holds. Keys of other forms never are."""
    if not key.startswith(PREFIX):
        return False
    body, check = key[len(PREFIX) : -_CHECK_LENGTH], key[-_CHECK_LENGTH:]
    return len(body) != _SECRET_LENGTH or _checksum(body) != check


def fingerprint(key: str) -> bytes:
    """What is kept of a key. Plain SHA-256 is enough: keys are random, so there is nothing to guess."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """The few characters by which a person recognises a key in a list."""
    return f"{key[:8]}…" if key.startswith(PREFIX) else "…"
