"""`landlord up`, `down` and `status`: the control plane on this machine."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from controlplane.cli.bootstrap import PostgresBootstrap
from controlplane.cli.cluster import Cluster
from controlplane.cli.console import errors, output, progress
from controlplane.cli.exit_codes import Exit
from controlplane.cli.output import Format, FormatOption, fields, show
from controlplane.client import connection
from controlplane.errors import SettingsError, Unavailable
from controlplane.local.foreground import Foreground, notify, until_signalled
from controlplane.local.head import HOST
from controlplane.local.installation import Installation, UpResult
from controlplane.local.paths import Home
from controlplane.persistence.retention import DAY
from controlplane.settings import Settings, load_settings
from landlord_client import Client, Problem

PURGE_SECONDS = 600.0


def up(
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Stay and start again what dies; SIGTERM or Ctrl-C stops all."),
    ] = False,
    take_over: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The head with this LANDLORD_NODE_ADDRESS is dead: take its tenants now."),
    ] = None,
) -> None:
    """Start the control plane, or repair a running one, and end a drain. Returns once the control plane answers.

    Example: landlord up
    """
    settings = load_settings()
    if foreground:
        if take_over is not None:
            raise typer.BadParameter("is said once, to `landlord up` without --foreground", param_hint="--take-over")
        _stay(settings)
        return
    started = bring_up(settings)
    if take_over is not None:
        _take_over(settings, take_over)
    output.print("[green]Landlord is up[/green]" if started.fresh else "Landlord is already running")
    fields(_addresses(Home(settings.home), settings, started))


def _take_over(settings: Settings, address: str) -> None:
    """Raises SettingsError."""
    if address == settings.node_address:
        raise SettingsError(f"--take-over: {address} is this machine")
    if not Cluster.of(settings).take_over(address):
        raise SettingsError(f"--take-over: no cluster of this database has its head at {address}, or it has ended")
    errors.print(f"the cluster of {address} has ended: its tenants are activated here", markup=False)


def _stay(settings: Settings) -> None:
    asked = until_signalled()
    say = partial(errors.print, markup=False)
    installation = Installation(settings, os.environ, say)
    Foreground(lambda: bring_up(settings), installation.components, say, asked.wait).run()
    notify("STOPPING=1")
    bring_down(settings)


def bring_up(settings: Settings) -> UpResult:
    """Does the work of `up`, but prints no addresses."""
    with progress("starting the control plane") as shown:
        database = PostgresBootstrap(keep_events_seconds=settings.event_retention_days * DAY)
        started = Installation(settings, os.environ, shown.say).up(database)
        # A new start has a new cluster; a cluster that was kept may still be draining.
        if Cluster.of(settings).undrain("landlord up"):
            errors.print("the drain is over: tenants are activated again")
    return started


def down(
    purge: Annotated[bool, typer.Option(help="First delete every tenant and wait until its compute is gone.")] = False,
) -> None:
    """Stop the control plane. Tenants' compute keeps running, unless --purge deletes it.

    Example: landlord down
    """
    settings = load_settings()
    if purge:
        _purge(settings)
    bring_down(settings)


def bring_down(settings: Settings) -> None:
    """Does the work of `down`."""
    with progress("stopping the control plane") as shown:
        ended = Installation(settings, os.environ, shown.say).down()
    output.print("Landlord is down" if ended else "Landlord was not running")


UNSIGNED = "its calls are not signed (LANDLORD_RESTATE_UNSIGNED): whoever is on this machine can order steps"


def status(format: FormatOption = Format.TABLE) -> None:
    """Show what runs where. Exit code 3 if the control plane does not answer or is not ready.

    Example: landlord status -o json
    """
    settings = load_settings()
    components = Installation(settings, os.environ, lambda _: None).components()
    columns = ("component", "state", "address", "pid", "detail")
    rows = [(part.name, "up" if part.up else "down", part.address, part.pid, part.detail) for part in components]
    if components[0].up:
        rows += _of_cluster(settings)
    show([dict(zip(columns, row, strict=True)) for row in rows], format, columns, rows)
    if not components[0].up:
        raise typer.Exit(Exit.DOWN)


def _of_cluster(settings: Settings) -> list[tuple[str, str, str, int | None, str]]:
    """A row for each of its machines, and one while it drains: that explains why nothing new begins."""
    try:
        cluster = Cluster.of(settings)
        draining, found = cluster.draining, cluster.nodes().found
    except Unavailable:
        # The other rows show the failure.
        return []
    row = ("cluster", "draining", cluster.id, None, "begins nothing new; `landlord drain --undo` ends that")
    return [*map(_node, found), *([row] if draining else [])]


def _node(node: Mapping[str, Any]) -> tuple[str, str, str, int | None, str]:
    held = "".join(f", tenants on {name}: {platform['tenants']}" for name, platform in node["providers"].items())
    detail = f"{node['live_actors']} of {node['ceiling']} actors{held}" if node["alive"] else "lost"
    return (f"node {node['name']}", "up" if node["alive"] else "down", node["address"], None, detail)


def _addresses(home: Home, settings: Settings, started: UpResult) -> dict[str, object]:
    ports = started.state.ports
    return {
        "API": f"{settings.own_url}/v1",
        "API docs": f"{settings.own_url}/docs",
        "dashboard": f"http://{HOST}:{ports.dashboard}  (asks for the token in {home.ray_token})",
        "Ray client": f"ray://{HOST}:{ports.client}",
        "admin token": home.token,
        "logs": home.logs,
        "build": started.state.build,
        **({"Restate": UNSIGNED} if settings.restate_goes_unsigned else {}),
    }


def _purge(settings: Settings) -> None:
    with connection.client_of(settings) as client:
        tenants = list(client.iterate_tenants())
        if tenants and sys.stdin.isatty():
            typer.confirm(f"Delete {len(tenants)} tenants and their compute?", abort=True, err=True)
        with progress(f"deleting {len(tenants)} tenants") as shown:
            # First ask for every delete, then wait for each: the deletes run in parallel.
            for tenant in tenants:
                _delete(client, tenant.id)
            for number, tenant in enumerate(tenants, start=1):
                shown.say(f"waiting for {tenant.name} ({number} of {len(tenants)})")
                client.wait_tenant(tenant.id, timeout=PURGE_SECONDS)
    errors.print(f"{len(tenants)} tenants deleted")


def _delete(client: Client, identity: str) -> None:
    try:
        client.delete_tenant(identity)
    except Problem as error:
        # It was deleted since we listed it.
        if error.code != "tenant_deleted":
            raise
