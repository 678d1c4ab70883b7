"""`landlord tenant logs`: the output of a tenant's compute."""

from typing import Annotated

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output
from controlplane.cli.options import Name
from controlplane.text import visible


def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines to show, from the end.")] = 100,
) -> None:
    """Show the last lines of the output of a tenant's compute. Not every provider keeps logs. In a pipe they are
    unchanged; on a terminal, escape sequences and control characters are left out.

    Example: landlord tenant logs acme --tail 20
    """
    with connect() as client:
        text = client.tenant_logs(name, tail=tail)
    if text:
        text = text.rstrip("\n")
        typer.echo(visible(text) if output.is_terminal else text, color=True)
    else:
        errors.print(f"{name} has written nothing", markup=False)
