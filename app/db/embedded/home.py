"""The files of one home: where the cluster, its socket, log, lock and passwords lie."""

import fcntl
import os
import pwd
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from psycopg.conninfo import make_conninfo

from app.db.embedded.errors import AccountRefused, HomeInUse, HomeNotUsable
from app.db.embedded.program import close_fd, hide_from_forks

SUPERUSER, ROLE, DATABASE, PORT = "postgres", "tessera", "tessera", 5432
SOCKET = f".s.PGSQL.{PORT}"
ACCOUNTS = ("tessera", "postgres", "nobody")
# Unix socket paths end at 107 bytes on Linux and at 103 on macOS.
SOCKET_PATH_BYTES = 103
LOG_BYTES = 10 * 1024**2
PASSWORDS = "tessera.passwords"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user that PostgreSQL is run as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a postmaster wrote about itself; it may be long dead."""

    pid: int
    data: str
    socket_dir: str
    port: str
    status: str


@dataclass(frozen=True, slots=True)
class Home:
    """Paths and names below one TESSERA_HOME."""

    path: Path
    # Shown in the title of each server process, which tells ours from all others. It comes from the folder
    # itself, not its path: another container may have another home at the same path.
    cluster_name: str = ""

    @classmethod
    def at(cls, path: Path) -> Self:
        path = path.expanduser().resolve()
        if not path.exists():
            return cls(path)
        found = path.stat()
        return cls(path, f"tessera-{found.st_dev:x}-{found.st_ino:x}")

    @classmethod
    def create(cls, path: Path) -> Self:
        path = path.expanduser().resolve()
        if "\n" in str(path):
            raise HomeNotUsable("the home's path contains a line break", remedy="set TESSERA_HOME to another folder")
        if not path.exists():
            path.mkdir(parents=True)
            # Root lets the unprivileged user pass through; every file inside is closed to others.
            path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        return cls.at(path)

    @property
    def data(self) -> Path:
        return self.path / "postgres"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    def account(self) -> Account | None:
        """Who runs PostgreSQL when we are root (it refuses root); None when we are not."""
        if os.geteuid() != 0:
            return None
        for folder in (self.data, self.path):
            if folder.exists() and (owner := folder.stat()).st_uid != 0:
                return Account(owner.st_uid, owner.st_gid)
        users = {user.pw_name: user for user in pwd.getpwall()}
        for name in ACCOUNTS:
            if name in users:
                return Account(users[name].pw_uid, users[name].pw_gid)
        raise AccountRefused(
            f"PostgreSQL refuses to run as root, and none of the users {', '.join(ACCOUNTS)} exists",
            remedy="useradd --system tessera, or run as a normal user, or set TESSERA_DATABASE_URL",
        )

    def lock(self) -> int:
        """Become the one owner of this home until the returned descriptor is closed or we die."""
        fd = self.open("postgres.lock", os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 20, 0).decode().strip()
            close_fd(fd)
            raise HomeInUse(
                f"{self.path} is in use by process {owner or '(just starting)'}",
                remedy=f"stop it first{f' (kill {owner})' if owner else ''}, or set TESSERA_HOME to another folder",
                owner=int(owner) if owner else None,
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def open_log(self) -> int:
        fd = self.open("postgres.log", os.O_WRONLY | os.O_APPEND)
        if os.fstat(fd).st_size > LOG_BYTES:
            os.ftruncate(fd, 0)
        return fd

    def open(self, name: str, flags: int) -> int:
        """Open a private file of ours; never through a link, for root may be the one who follows it."""
        fd = hide_from_forks(os.open(self.path / name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        account, found = self.account(), os.fstat(fd)
        if account and found.st_uid == 0 and found.st_nlink == 1:
            os.fchown(fd, account.uid, account.gid)  # so that its own user can start it next time
        return fd

    def log_tail(self, lines: int = 15) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    @property
    def socket_dir(self) -> Path:
        """Where the socket is to lie: in the home when the system accepts so long a path."""
        bases = (tempfile.gettempdir(), "/tmp")  # noqa: S108  make_private refuses what others put there
        temporary = (Path(base) / self.cluster_name for base in bases)
        return next(folder for folder in (self.path / "run", *temporary) if _fits(folder))

    def make_private(self, folder: Path) -> None:
        """Make a folder that nobody but the server's user and root can enter."""
        account = self.account()
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # a link set by someone else fails here
        try:
            if os.fstat(fd).st_uid not in (os.geteuid(), account.uid if account else -1):
                raise HomeNotUsable(
                    f"{folder}, needed for the database's socket, belongs to someone else",
                    remedy=f"remove {folder}, or set TESSERA_HOME to another folder",
                )
            os.fchmod(fd, 0o700)
            if account:
                os.fchown(fd, account.uid, account.gid)
        finally:
            os.close(fd)

    def pid_file(self) -> PidFile | None:
        try:
            text = (self.data / "postmaster.pid").read_text(errors="surrogateescape")
            pid, data, _, port, socket_dir, _, _, status = (text.split("\n") + [""] * 8)[:8]
            return PidFile(int(pid), data, socket_dir, port, status.strip())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def conninfo(self, *, socket_dir: str, superuser: bool = False) -> str:
        passwords = (self.data / PASSWORDS).read_text().split()
        return make_conninfo(
            host=socket_dir,
            port=PORT,
            user=SUPERUSER if superuser else ROLE,
            password=passwords[0 if superuser else 1],
            dbname=SUPERUSER if superuser else DATABASE,
        )

    def url(self, *, socket_dir: str) -> str:
        password = (self.data / PASSWORDS).read_text().split()[1]
        return f"postgresql+psycopg://{ROLE}:{password}@/{DATABASE}?host={quote(socket_dir, safe='')}&port={PORT}"


def _fits(folder: Path) -> bool:
    # libpq reads a comma as a list of hosts; control characters end lines in postmaster.pid.
    plain = "," not in str(folder) and str(folder).isprintable()
    return plain and len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES
