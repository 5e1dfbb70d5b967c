"""What the demo remembers of its home, in demo.json: which shop it is, how far it got, and its key."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from app.cli.failures import CommandFailed

FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class Notes:
    """The demo of one home; `rows` by kind and `is_full` once everything is loaded and segmented."""

    key: str = field(repr=False)
    seed: int
    customers: int
    start: date
    end: date
    rows: dict[str, int] = field(default_factory=dict)
    is_full: bool = False

    def full(self, rows: dict[str, int]) -> "Notes":
        return replace(self, rows=rows, is_full=True)

    def emptied(self) -> "Notes":
        return replace(self, rows={}, is_full=False)

    def with_key(self, key: str) -> "Notes":
        return replace(self, key=key)


def read(home: Path) -> Notes | None:
    """The notes of a home; None when there was no demo in it yet."""
    path = place(home)
    try:
        kept = json.loads(path.read_text())
        days = {name: date.fromisoformat(kept[name]) for name in ("start", "end")}
        return Notes(**{**kept, **days})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            f"{path} cannot be read: {error}", remedy="give access to it, or set TESSERA_HOME to another folder"
        ) from error


def write(home: Path, notes: Notes) -> None:
    """Keep the notes, whole or not at all, readable by the home's owner only: they hold a key."""
    path = place(home)
    draft = path.with_name(f"{FILE}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(asdict(notes), file, indent=2, default=str)
            file.flush()
            os.fsync(fd)
        owner = path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(draft, owner.st_uid, owner.st_gid)  # so that the home's own user can run the demo too
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def place(home: Path) -> Path:
    return home.expanduser().resolve() / FILE
