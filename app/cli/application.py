"""All commands of `tessera`. Each imports what it needs when it runs, so that `tessera --help` is quick."""

from typing import Annotated

import typer

from app import __version__
from app.cli.check import check
from app.cli.demo.command import demo
from app.cli.importing import import_file
from app.cli.keys import keys
from app.cli.migrate import migrate
from app.cli.reporting import reporting_role
from app.cli.serve import serve
from app.cli.worker import worker

application = typer.Typer(
    name="tessera",
    help="Customer segmentation that proves what it was worth. Settings are environment variables or lines in .env.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tessera {__version__}")
        raise typer.Exit


@application.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


application.command()(serve)
application.command()(worker)
application.command()(migrate)
application.command("import")(import_file)
application.add_typer(keys, name="keys")
application.add_typer(reporting_role, name="reporting-role")
application.command()(check)
application.command()(demo)
