"""`landlord tenant exec`: a command in a tenant's compute."""

from typing import Annotated

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output
from controlplane.cli.exit_codes import Exit
from controlplane.cli.options import Name
from controlplane.text import visible


def run_command(
    name: Name,
    command: Annotated[list[str], typer.Argument(help="The command and its words, after `--`. No shell is around it.")],
    timeout: Annotated[float, typer.Option(min=0.1, max=15, help="Longest time to wait, in seconds.")] = 10.0,
) -> None:
    """Run a command in what serves a tenant, show what it wrote, and exit with its exit code. Not every provider can.

    It runs as the tenant's own account, with its environment and its limits, without a terminal and with nothing on its
    stdin. One that has not ended in time is left: exit 4. The audit trail has each command.

    Example: landlord tenant exec acme -- cat /etc/hostname
    """
    with connect() as client:
        ended = client.exec_in_tenant(name, command, timeout=timeout)
    if ended.output:
        typer.echo(visible(ended.output) if output.is_terminal else ended.output, nl=False, color=True)
    if ended.cut:
        errors.print("there was more output, which is left out")
    if ended.exit_code is None:
        errors.print("left before its end" if ended.cut else f"not ended within {timeout:g} s; it may still run")
        raise typer.Exit(Exit.TIMEOUT)
    raise typer.Exit(ended.exit_code)
