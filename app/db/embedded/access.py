"""Whom the embedded PostgreSQL lets in: the service, and the reporting roles that were made on purpose."""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from app.db.embedded.errors import StartFailed
from app.db.embedded.home import DATABASE, PORT, ROLE, SUPERUSER, Home

RULES = "pg_hba.conf"


def rules(readers: Iterable[str] = ()) -> str:
    """The server's access file. Nothing but its own socket is ever let in, whoever asks."""
    others = "".join(f'local {DATABASE} "{name}" scram-sha-256\n' for name in readers)
    return f"local all {SUPERUSER},{ROLE} scram-sha-256\n{others}"


def administration_url(path: Path) -> str:
    """The url by which a running server's roles are changed, which the service's own user may not do."""
    home = Home.at(path)
    written = home.pid_file()
    if written is None:
        raise StartFailed(f"no PostgreSQL runs for {path}", remedy="start the service again")
    password = conninfo_to_dict(home.conninfo(socket_dir=written.socket_dir, superuser=True))["password"]
    return (
        f"postgresql+psycopg://{SUPERUSER}:{password}@/{DATABASE}?host={quote(written.socket_dir, safe='')}&port={PORT}"
    )


def let_in(path: Path, readers: Iterable[str]) -> None:
    """Write whom the server lets in, whole or not at all; it takes that up when it is told to reload."""
    target = Home.at(path).data / RULES
    draft, owner = target.with_name(f"{RULES}.{os.getpid()}"), target.stat()
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(rules(readers))
            file.flush()
            if os.geteuid() == 0:
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.fsync(fd)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
