"""`landlord tenant logs`: the output of a tenant's compute."""

import contextlib
import sys
from typing import Annotated

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output
from controlplane.cli.options import Name
from controlplane.text import visible


def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Show what comes as well, until Ctrl-C or the tenant is deleted.")
    ] = False,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines to show, from the end.")] = 100,
) -> None:
    """Show the last lines of the output of a tenant's compute. Not every provider keeps logs. In a pipe they are
    unchanged; on a terminal, escape sequences and control characters are left out.

    With -f it looks once a second for more, also after a restart of the control plane, and goes on with what replaces
    the compute.

    Example: landlord tenant logs acme --tail 20, or landlord tenant logs acme -f
    """
    with connect() as client:
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                for part in client.follow_logs(name, tail=tail):
                    typer.echo(visible(part) if output.is_terminal else part, nl=False, color=True)
                    sys.stdout.flush()
            return
        text = client.tenant_logs(name, tail=tail)
    if text:
        text = text.rstrip("\n")
        typer.echo(visible(text) if output.is_terminal else text, color=True)
    else:
        errors.print(f"{name} has written nothing", markup=False)
