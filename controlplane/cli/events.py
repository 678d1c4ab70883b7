"""`landlord events` and `landlord tenant watch`: past events, and events as they happen."""

import json
from typing import Annotated

import typer
import yaml
from rich.text import Text

from controlplane.cli.completion import tenants
from controlplane.cli.connection import connect
from controlplane.cli.console import errors, output
from controlplane.cli.exit_codes import Exit
from controlplane.cli.options import Selector
from controlplane.cli.output import COLOURS, Format, FormatOption, instant, show
from landlord_client import WatchEvent

VERIFY = "verify"
COLUMNS = ("id", "at", "tenant", "type", "status", "trigger", "by", "execution", "message")


def events(
    tenant: Annotated[
        str | None,
        typer.Argument(
            help="Show only this tenant's events; name a deleted tenant by its id. `verify`: see below.",
            autocompletion=tenants,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many to show.")] = 50,
    head: Annotated[
        str | None, typer.Option(metavar="ID:HASH", help="With `verify`: a head that was noted elsewhere.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the audit trail, newest first: who did what, when and why. `landlord tenant watch` follows it.

    `landlord events verify` compares each event with its hash and the event before it. It exits with 1 if one does not
    fit, or if the head of --head is missing or changed.

    Example: landlord events acme --limit 10
    """
    if tenant == VERIFY:
        _verify(head, format)
        return
    with connect() as client:
        found = client.list_events(tenant, limit=limit).items
    if format is Format.TABLE and not found:
        output.print("no events")
        return
    rows = [
        (
            event.id,
            instant(event.at),
            event.tenant,
            event.type,
            event.status,
            event.trigger_source,
            event.actor,
            event.execution_id,
            event.message,
        )
        for event in found
    ]
    show(found, format, COLUMNS, rows)


def _verify(head: str | None, format: Format) -> None:
    with connect() as client:
        found = client.verify_trail(head)
    sound = not found.broken and found.noted != "changed"
    if format is not Format.TABLE:
        show(found, format, (), ())
    elif sound:
        newest = found.head
        output.print(f"[green]The trail is as it was written[/green]: {found.checked} events after {found.after}")
        if newest is not None:
            output.print(f"head {newest.id}:{newest.hash}", markup=False)
        if found.noted == "pruned":
            output.print("the noted head is older than what is kept")
    else:
        for id in found.broken:
            errors.print(f"event {id}, or the one before it, is not as it was written", style="red")
        if found.noted == "changed":
            errors.print("the noted head is not there as it was: the trail was made anew", style="red")
    if not sound:
        raise typer.Exit(Exit.FAILED)


def watch(
    name: Annotated[
        str | None, typer.Argument(help="The tenant's name or id. If left out: all tenants.", autocompletion=tenants)
    ] = None,
    selector: Selector = None,
    after: Annotated[int | None, typer.Option(help="Start after the event with this id, not now.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show events as they happen, one a line; with -o json an object a line. Ctrl-C ends the watch.

    A watch of one tenant ends by itself once the tenant is deleted. A watch survives a restart of the control plane
    and misses no event. With -l it shows the events of the tenants that match, also of those that begin to match.

    Example: landlord tenant watch -l tier=gold
    """
    if name is not None and selector:
        raise typer.BadParameter("give a name or -l", param_hint="NAME")
    with connect() as client:
        identity = None
        if name is not None:
            # By id: during the watch the name may become free and go to another tenant.
            tenant = client.get_tenant(name)
            identity = tenant.id
            errors.print(f"{tenant.name}: {tenant.status}; watching, Ctrl-C ends", markup=False)
        else:
            errors.print(f"watching {'the tenants that match' if selector else 'all tenants'}, Ctrl-C ends")
        try:
            found = client.watch_matching(selector, after=after) if selector else client.watch(identity, after=after)
            for event in found:
                _tell(event, format)
        except KeyboardInterrupt:
            return


def _tell(event: WatchEvent, format: Format) -> None:
    match format:
        case Format.JSON:
            output.print(json.dumps(event.document), markup=False)
        case Format.YAML:
            output.print(f"---\n{yaml.safe_dump(event.document, sort_keys=False).rstrip()}", markup=False)
        case Format.TABLE:
            status = event.status or ""
            parts = (
                f"{instant(event.at)}  {event.tenant or '':<20}  ",
                (f"{status:<12}", COLOURS.get(status, "")),
                f"  {event.type:<26}  {event.execution_id or ''}",
            )
            output.print(Text.assemble(*parts))
    # A reader in a pipe gets each line at once.
    output.file.flush()
