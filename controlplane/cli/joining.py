"""A machine and its cluster: `landlord node invite`, `join` and `leave`."""

import ipaddress
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.console import errors, output, progress
from controlplane.cli.database import ask
from controlplane.cli.output import fields
from controlplane.errors import SettingsError
from controlplane.local.build import build_id
from controlplane.local.foreground import Foreground, notify, until_signalled
from controlplane.local.installation import Component, Installation
from controlplane.local.invitation import Invitation
from controlplane.local.joined import JoinedNode, Joining
from controlplane.local.node import node_name
from controlplane.local.paths import Home
from controlplane.persistence import clusters
from controlplane.settings import Settings, load_settings


def invite(address: Annotated[str, typer.Argument(help="The address of the machine that may join.")]) -> None:
    """On the head: print what a machine needs to join. Whoever has it may run code on the cluster.

    Example: landlord node invite 10.0.0.2
    """
    settings = load_settings()
    _require_address(settings)
    try:
        invited = str(ipaddress.IPv4Address(address))
    except ValueError:
        raise typer.BadParameter("is an IPv4 address, the LANDLORD_NODE_ADDRESS there", param_hint="ADDRESS") from None
    output.print(
        Invitation.make(Home(settings.home), invited, tls=settings.node_tls).write(),
        markup=False,
        highlight=False,
        soft_wrap=True,
        end="",
    )


def join(
    head: Annotated[str, typer.Argument(metavar="HEAD[:PORT]", help="The head's address; PORT is its LANDLORD_PORT.")],
    invitation: Annotated[
        Path | None, typer.Option(help="What `landlord node invite` printed on the head; kept from then on.")
    ] = None,
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Stay, and join again when Ray has died here; SIGTERM or Ctrl-C leaves."),
    ] = False,
) -> None:
    """Make this machine a node of another one's cluster, or repair it. Returns once the API answers here too.

    Example: landlord node join 10.0.0.1 --invitation invitation
    """
    settings = load_settings()
    _require_address(settings)
    invited = None if invitation is None else Invitation.read(invitation)
    if invited is not None and invited.address != settings.node_address:
        raise SettingsError(
            f"the invitation is for {invited.address}, and LANDLORD_NODE_ADDRESS here is {settings.node_address}"
        )
    accept = invited.accept if invited is not None else lambda _: None
    if foreground:
        _stay(settings, head, accept)
    else:
        _join(settings, head, accept)


def _join(settings: Settings, head: str, accept: Callable[[Home], None]) -> None:
    found = _joinable(settings, head)
    with progress("joining") as shown:
        node = JoinedNode(settings, os.environ, shown.say)
        joining = Joining(found.id, f"{found.head.address}:{found.head.gcs}", found.head.stored)
        fresh = node.join(joining, accept)
    output.print("[green]This machine has joined[/green]" if fresh else "This machine is a node already")
    scheme = "https" if settings.tls or settings.nodes_tls else "http"
    api = f"{scheme}://{settings.node_address}:{settings.port}/v1"
    fields({"node": node_name(settings), "head": f"{found.head.address}:{found.head.port}", "API": api})


def _stay(settings: Settings, head: str, accept: Callable[[Home], None]) -> None:
    """Only Ray's own end here is a reason to join again: what Serve has started here, Serve starts again."""
    asked = until_signalled()
    say = partial(errors.print, markup=False)
    installation = Installation(settings, os.environ, say)

    def ray() -> list[Component]:
        return [part for part in installation.components() if part.name == "ray node"]

    Foreground(lambda: _join(settings, head, accept), ray, say, asked.wait).run()
    notify("STOPPING=1")
    _leave(settings)


def leave() -> None:
    """End what belongs to the cluster on this machine. Tenants' compute keeps running.

    Example: landlord node leave
    """
    _leave(load_settings())


def _leave(settings: Settings) -> None:
    with progress("leaving the cluster") as shown:
        ended = JoinedNode(settings, os.environ, shown.say).leave()
    output.print(f"This machine has left the cluster; {ended} processes ended")


def _require_address(settings: Settings) -> None:
    if settings.alone:
        raise SettingsError(
            f"LANDLORD_NODE_ADDRESS is {settings.node_address}, which no other machine reaches: give this machine's "
            "address among the machines of the cluster"
        )


def _joinable(settings: Settings, head: str) -> clusters.Joinable:
    """The cluster that runs there. Raises SettingsError if it is not one for this machine, in one line that says
    why."""
    address, _, given = head.partition(":")
    if given and not given.isdecimal():
        raise SettingsError(f"{head} is no address of a head: give HEAD or HEAD:PORT, an IPv4 address")
    port = int(given) if given else settings.port
    if port != settings.port:
        raise SettingsError(f"LANDLORD_PORT: it is the same on each machine of a cluster; the head's is {port}")
    assert settings.database_url is not None
    found = ask(
        settings.database_url.get_secret_value(),
        lambda database: clusters.joinable(database, address, port),
        application="landlord node join",
    )
    if found is None:
        raise SettingsError(
            f"no cluster of the database of LANDLORD_DATABASE_URL has its head at {address}:{port}: does it run, with "
            "that LANDLORD_NODE_ADDRESS, and is its database this one?"
        )
    if found.build != build_id():
        raise SettingsError(
            f"this machine has landlord {build_id()} and the head runs {found.build}: install the same on both"
        )
    return found
