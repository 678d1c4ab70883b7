"""`landlord node`: the machines of the cluster."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import typer

from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output, progress
from controlplane.cli.elsewhere import Group, Place
from controlplane.cli.options import DEFAULT_TIMEOUT, POLL_SECONDS, Timeout
from controlplane.cli.output import Format, FormatOption, instant, show
from controlplane.errors import DeadlineExceeded
from landlord_client import Node, Nodes


class NodeCommands(Group):
    elsewhere: ClassVar[Mapping[str, Place]] = {
        "invite": Place("joining", "invite"),
        "join": Place("joining", "join"),
        "leave": Place("joining", "leave"),
    }


app = typer.Typer(cls=NodeCommands, help="The machines of the cluster.", no_args_is_help=True)

COLUMNS = ("name", "address", "state", "actors", "ceiling", "tenants", "labels")


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


@app.command("drain")
def drain(
    name: Annotated[str, typer.Argument(help="As `landlord node list` shows it.")],
    tenants: Annotated[bool, typer.Option("--tenants", help="Also move its tenants to other machines.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="End the drain.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return once nothing is left there.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Empty a machine of the cluster, for maintenance: it gets no more actors and tenants, and its actors leave.

    With --tenants its tenants move too, one after the other, healthy first. Those stay that no other machine takes, and
    those that keep data on it (volumes of docker, `workdir` of process).

    Example: landlord node drain web-2 --tenants --wait
    """
    with connect() as client:
        if undo:
            client.undrain_node(name)
            output.print(f"{name} takes actors and tenants again", markup=False)
            return
        client.drain_node(name, tenants=tenants)
        if wait:
            with progress("draining") as shown:
                await_empty(client.list_nodes, name, shown.say, timeout, tenants=tenants)
    state = "Drained" if wait else "Draining"
    output.print(f"{state}. `landlord node drain {name} --undo` ends that", markup=False)


def await_empty(
    look: Callable[[], Nodes],
    name: str,
    say: Callable[[str], None],
    timeout: float,
    *,
    tenants: bool,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Returns once nothing is left there, as the supervisor sees it. Raises DeadlineExceeded. Tests inject the last
    two."""
    deadline = clock() + timeout
    since = look().checked_at
    while True:
        found = look()
        node = next((one for one in found.items if one.name == name), None)
        held = 0 if node is None else sum(platform.tenants for platform in node.providers.values())
        actors = 0 if node is None else node.live_actors
        fresh = found.checked_at is not None and found.checked_at != since
        if fresh and not actors and not (tenants and held):
            return
        what = f"{actors} actors and {held} tenants are there" if tenants else f"{actors} actors are there"
        say(what if fresh else "the supervisor has not looked yet")
        if clock() > deadline:
            raise DeadlineExceeded(f"after {timeout:g} s {what}; the drain goes on")
        sleep(POLL_SECONDS)
