"""`tessera migrate`: brings the database to a schema, by default the newest."""

from typing import Annotated

import typer

from app.cli.failures import CommandFailed, WrongUsage, say


def migrate(
    to: Annotated[str, typer.Option(metavar="REV", help="Revision to go to, such as 0002.")] = "head",
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="Go back to an older revision, losing what it cannot hold.")
    ] = False,
) -> None:
    """Bring the database to the newest schema, or to a given revision."""
    from app.cli.installation import database_of, inspect, load_settings, require_version
    from app.db import migrate as migrations
    from app.db.revisions import revisions

    with database_of(load_settings()) as url:
        state = inspect(url)
        require_version(state)
        known = revisions()
        goal = state.newest if to == "head" else to
        if goal not in known:
            raise WrongUsage(f"there is no revision {goal}", remedy=f"known are {', '.join(known)}")
        if state.revision is not None and state.revision not in known:
            raise CommandFailed(
                f"the database is at revision {state.revision}, which this version of Tessera does not know",
                remedy="install the version that migrated it, or a newer one",
            )
        if state.revision is None or known.index(state.revision) <= known.index(goal):
            migrations.upgrade(url, revision=goal)
        elif allow_downgrade:
            migrations.downgrade(url, revision=goal)
        else:
            raise CommandFailed(
                f"the database is at revision {state.revision}, newer than {goal}: going back loses data",
                remedy="make a backup, then add --allow-downgrade",
            )
        say(f"the schema was {state.revision or 'empty'} and is at revision {goal}")
