"""What can go wrong with the embedded PostgreSQL, each with the action that mends it."""


class EmbeddedPostgresError(Exception):
    """Base of them all: a sentence for a person, and in `remedy` the command or action that helps."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class BinariesMissing(EmbeddedPostgresError):
    """The wheel that carries PostgreSQL is not installed for this interpreter."""


class HomeInUse(EmbeddedPostgresError):
    """Another living process owns the database of this home; `owner` is its pid where known."""

    def __init__(self, message: str, *, remedy: str, owner: int | None) -> None:
        super().__init__(message, remedy=remedy)
        self.owner = owner


class HomeNotUsable(EmbeddedPostgresError):
    """The home cannot be read or written by this process, or holds something unexpected."""


class AccountRefused(EmbeddedPostgresError):
    """Started as root, and no unprivileged user can run PostgreSQL here."""


class VersionMismatch(EmbeddedPostgresError):
    """The data directory was written by a major version that is not installed."""


class StartFailed(EmbeddedPostgresError):
    """PostgreSQL ended instead of accepting connections; the message carries the end of its log."""


class StartTimedOut(EmbeddedPostgresError):
    """PostgreSQL still lives but did not become ready in the time given."""
