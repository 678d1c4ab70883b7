"""`landlord tenant logs`: the output of a tenant's compute."""

from typing import Annotated

import typer

from controlplane.cli.console import errors
from controlplane.cli.options import Name
from controlplane.client import Client
from controlplane.settings import load_settings


def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines to show, from the end.")] = 100,
) -> None:
    """Show the last lines of the output of a tenant's compute, unchanged. Not every provider keeps logs."""
    with Client.of(load_settings()) as client:
        text = client.tenant_logs(name, tail=tail)
    if text:
        typer.echo(text.rstrip("\n"))
    else:
        errors.print(f"{name} has written nothing", markup=False)
