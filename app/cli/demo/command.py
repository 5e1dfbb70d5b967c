"""`tessera demo`: a running service with a simulated shop in it, from nothing, with one command."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.failures import CommandFailed, WrongUsage

if TYPE_CHECKING:
    from socket import socket

    from app.cli.orders import Orders
    from app.config import Settings

# Of the shop's two currencies the first; the simulated bank also has rates into the third.
HOST = "127.0.0.1"
CURRENCY, RATED_CURRENCIES = "EUR", ("EUR", "GBP", "USD")
# The requests of the demo itself would bury what it has to say.
DEFAULTS = {"reporting_currency": CURRENCY, "log_level": "warning"}


def demo(
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed, another shop. [default: 7]")] = None,
    customers: Annotated[
        int | None, typer.Option(min=500, max=200_000, help="How many customers the shop has. [default: 4000]")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything is loaded, instead of serving.")] = False,
) -> None:
    """Serve a simulated shop: two years of customers, purchases, events and campaigns, loaded on the first start.

    Prints the address, an API key and calls to try. Ctrl-C stops it; the next start finds the data there.
    """
    from app.cli.demo.client import Api
    from app.cli.demo.filling import Background, begun, noted, prepare
    from app.cli.listener import address
    from app.cli.serve import interruptible, run
    from app.cli.supervisor import Child, StopSignals

    settings = demo_settings()
    known = noted(settings.home, seed=seed, customers=customers)
    notes = known or begun(seed=seed, customers=customers)
    signals = StopSignals()
    with interruptible(), free(port) as listener:
        api = Api(address(listener, HOST), notes.key, is_stopping=lambda: signals.count > 0)

        def fill(orders: "Orders") -> None:
            url = orders["database_url"]
            typer.echo(prepare(settings.home, notes, api=api, database_url=url, is_new=known is None))

        background = Background(fill, stays=not once)
        run(settings, [Child("web", listener=listener), Child("worker")], on_ready=background.start, signals=signals)
        background.end()


@contextmanager
def free(port: int) -> "Iterator[socket]":
    """A socket that listens there; when that cannot be, the way out is the demo's own option."""
    from app.cli.listener import listening

    with ExitStack() as stack:
        try:
            listener = stack.enter_context(listening(HOST, port))
        except CommandFailed as error:
            raise CommandFailed(
                error.message, remedy=f"stop what uses it, or choose another: tessera demo --port {port + 1}"
            ) from error
        yield listener


def demo_settings() -> "Settings":
    """The settings, with the demo's own defaults for what nobody set; the processes started below inherit them."""
    from app.cli.installation import load_settings

    settings = load_settings()
    for name, value in DEFAULTS.items():
        if name not in settings.model_fields_set:
            os.environ[f"TESSERA_{name.upper()}"] = value
    settings = load_settings()
    if settings.reporting_currency not in RATED_CURRENCIES:
        raise WrongUsage(
            f"the simulated shop has no exchange rates into {settings.reporting_currency}",
            remedy=f"set TESSERA_REPORTING_CURRENCY to one of {', '.join(RATED_CURRENCIES)}, or leave it unset",
        )
    return settings
