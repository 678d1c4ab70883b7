"""`landlord node`: the machines of the cluster."""

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors
from controlplane.cli.output import Format, FormatOption, instant, show
from landlord_client import Node

app = typer.Typer(help="Show the machines of the cluster.", no_args_is_help=True)

COLUMNS = ("name", "address", "state", "actors", "ceiling", "tenants", "labels")


@app.callback()
def _group() -> None:
    """Makes `list` a subcommand though it is the only one."""


@app.command("list")
def list_nodes(format: FormatOption = Format.TABLE) -> None:
    """List the machines of the cluster: state, actors, and tenants on the platforms of one machine.

    Example: landlord node list
    """
    with connect() as client:
        found = client.list_nodes()
    show(found, format, COLUMNS, [_row(node) for node in found.items])
    if format is Format.TABLE:
        seen = instant(found.checked_at)
        errors.print(f"as of {seen}" if seen else "the supervisor has not looked yet", markup=False)


def _row(node: Node) -> tuple[object, ...]:
    state = "down" if not node.alive else "draining" if node.draining else "up"
    tenants = ",".join(f"{name}={platform.tenants}" for name, platform in node.providers.items())
    labels = ",".join(f"{key}={value}" for key, value in node.labels.items())
    return node.name, node.address, state, node.live_actors, node.ceiling, tenants, labels
