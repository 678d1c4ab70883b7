"""`landlord restore`: rebuild a home from its database after the loss of everything else."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.backup import load, unpack
from controlplane.cli.console import progress
from controlplane.cli.doctor import report
from controlplane.cli.output import Format, FormatOption
from controlplane.cli.server import bring_up
from controlplane.client import connection
from controlplane.local.paths import Home
from controlplane.settings import load_settings
from landlord_client import Client, Consistency, Problem

POLL_SECONDS = 1.0
GONE = ("tenant_not_found", "tenant_deleted")


def restore(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A backup, for an empty home and an empty database.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for tenants to come back.")] = 600.0,
    format: FormatOption = Format.TABLE,
) -> None:
    """Rebuild a home from its database after the loss of everything else: machine, home, actors or compute.

    With a file of `landlord backup`, its rows are loaded into the empty database, and config.yaml and secrets put back.
    Without one, restore the database with Postgres's own tools first, and set LANDLORD_DATABASE_URL to it; settings
    from a lost config.yaml must be given again then. The command starts the control plane as `up` does, compares every
    tenant with reality, and waits until missing compute is made again (not for tenants with `heal: none`). It ends as
    `doctor` does: exit 1 if differences remain. A lost admin token is replaced.

    Example: landlord restore /backups/landlord-monday.tar
    """
    if file is not None:
        unpack(file.absolute(), Home(load_settings().home))
    settings = load_settings()
    if file is not None:
        with progress("loading the backup"):
            load(file.absolute(), settings)
    bring_up(settings)
    with connection.client_of(settings) as client, progress("comparing every tenant with reality") as shown:
        wake_all(client)
        found = mend(client, shown.say, timeout, patience=settings.sweep_seconds + settings.rest_probe_seconds)
    report(found, format)


def wake_all(client: Client) -> None:
    """Ask every tenant to check its compute now. Without this it would happen within `rest_probe_seconds`."""
    for tenant in client.iterate_tenants():
        try:
            client.reconcile_tenant(tenant.id)
        except Problem as error:
            # It was deleted since we listed it.
            if error.code not in GONE:
                raise


def mend(
    client: Client,
    say: Callable[[str], None],
    timeout: float,
    *,
    patience: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Consistency:
    """Wait, then return the differences that remain.

    Returns when there is no difference, when nothing is under way and the differences stayed the same for `patience`
    seconds, or after `timeout` seconds. Tests inject the last two.
    """
    deadline, steady, seen = clock() + timeout, clock(), None
    while True:
        found = client.consistency()
        working = sum(1 for tenant in client.iterate_tenants() if not tenant.settled)
        now = clock()
        if (found, working) != seen or working:
            seen, steady = (found, working), now
        if now > deadline or (not working and (not found.differences or now - steady > patience)):
            return found
        say(f"{len(found.differences)} differences, {working} tenants at work")
        sleep(POLL_SECONDS)
