"""`tessera worker`: runs background jobs for deployments that keep them apart from the service."""

from typing import TYPE_CHECKING

from app.cli.failures import CommandFailed, say

if TYPE_CHECKING:
    from app.config import Settings


def worker() -> None:
    """Run background jobs, on TESSERA_DATABASE_URL or on the database of the running service."""
    from app.cli.child import run_jobs, write_logs
    from app.cli.installation import load_settings, secret_of

    settings = load_settings()
    url = database_url(settings)
    write_logs(settings)
    say("running background jobs; Ctrl-C stops")
    run_jobs(settings, database_url=url, secret=secret_of(settings))


def database_url(settings: "Settings") -> str:
    from app.cli.installation import external_url, inspect, require_version
    from app.db.embedded import find_running

    external = external_url(settings)
    if external is not None:
        require_version(inspect(external))
        return external
    found = find_running(settings.home)
    if found is None:
        raise CommandFailed(
            f"no service runs on {settings.home}, and its database would end with this command",
            remedy="run `tessera serve`, which runs a worker itself, or set TESSERA_DATABASE_URL",
        )
    return found
