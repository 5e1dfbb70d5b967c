"""Which PostgreSQL can hold our data."""

from sqlalchemy import text

from app.db.engine import Session

# What the documentation promises; nothing older is tried.
MINIMUM_VERSION = 16


async def server_version(session: Session) -> int:
    """As PostgreSQL numbers itself: 180004 is 18.4."""
    return int((await session.execute(text("show server_version_num"))).scalar_one())


def is_supported(version: int) -> bool:
    return version // 10_000 >= MINIMUM_VERSION
