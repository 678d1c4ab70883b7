"""`landlord top`: the fleet at a glance, drawn again and again on a terminal."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from controlplane.cli.connection import connect
from controlplane.cli.console import Visible, output
from controlplane.cli.execution import said_of
from controlplane.cli.output import COLOURS, Format, FormatOption, coloured, show, table
from controlplane.cli.show_tenant import message_of
from controlplane.client.fleet import Fleet, glance, seconds_since
from landlord_client import Client, Execution, Problem, Tenant, Unreachable

EVERY_SECONDS = 2.0
SHARE = 4
"""After a look the command rests for this many times as long as the look took, so that a large fleet has no burden."""
MOST = 10
"""Rows of each list."""
UNDER_WAY = ("tenant", "status", "step", "elapsed", "detail")
UNWELL = ("tenant", "status", "last change", "reason")


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once; so it is in a pipe.")] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the fleet at a glance: tenants by status, what is under way, what waits its turn, what is unwell.

    On a terminal it is drawn again every 2 seconds, less often for a large fleet, until Ctrl-C.

    Example: landlord top --once
    """
    with connect() as client:
        if once or format is not Format.TABLE or not output.is_terminal:
            found = look(client, datetime.now(UTC))
            if format is Format.TABLE:
                _print(found)
            else:
                show(found, format, (), ())
            return
        with Live(Text(f"asking {client.url} …"), console=output, screen=True, auto_refresh=False) as live:
            try:
                follow(lambda: look(client, datetime.now(UTC)), lambda one: live.update(one, refresh=True))
            except KeyboardInterrupt:
                return


def follow(
    look: Callable[[], dict[str, Any]],
    draw: Callable[[RenderableType], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look and draw for ever. While no control plane answers, the last picture stays under a line that says so; but if
    the first look fails, its error is raised."""
    found: dict[str, Any] | None = None
    while True:
        start, trouble = clock(), ""
        try:
            found = look()
        except (Problem, Unreachable) as error:
            if found is None or (isinstance(error, Problem) and error.status < 500):
                raise
            trouble = error.message
        draw(Visible(drawn(found, trouble)))
        sleep(max(EVERY_SECONDS, SHARE * (clock() - start)))


def look(client: Client, now: datetime) -> dict[str, Any]:
    """The fleet as a document, with the steps of what is shown as under way."""
    fleet = glance(client.iterate_tenants(), MOST)
    queued = fleet.oldest_queued
    return {
        "tenants": fleet.tenants,
        "paused": fleet.paused,
        "statuses": dict(fleet.statuses.most_common()),
        "under_way_count": fleet.under_way_count,
        "under_way": [_under_way(tenant, _execution(client, tenant), now) for tenant in fleet.under_way],
        "queued_count": fleet.queued_count,
        "oldest_queued": None if queued is None else _queued(queued, _execution(client, queued), now),
        "unwell_count": fleet.unwell_count,
        "unwell": _unwell(fleet, now),
    }


def drawn(found: dict[str, Any], trouble: str = "") -> Group:
    """For a terminal."""
    parts: list[RenderableType] = [Text(trouble, style="red")] if trouble else []
    counts = [(f"{count} {status}", COLOURS.get(status, "")) for status, count in found["statuses"].items()]
    head = [part for count in counts for part in ("  ", count)]
    parts.append(Text.assemble((_tenants(found), "bold"), *head, _paused(found)))
    parts.append(Text(_queue(found)))
    for title, columns, rows in _lists(found):
        parts += [Text(title, style="bold"), coloured(columns, rows)]
    return Group(*parts)


def _print(found: dict[str, Any]) -> None:
    counts = "".join(f"  {count} {status}" for status, count in found["statuses"].items())
    output.print(f"{_tenants(found)}{counts}{_paused(found)}\n{_queue(found)}", markup=False)
    for title, columns, rows in _lists(found):
        output.print(f"\n{title}", markup=False)
        table(columns, rows)


def _tenants(found: dict[str, Any]) -> str:
    return "1 tenant" if found["tenants"] == 1 else f"{found['tenants']} tenants"


def _lists(found: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Title, columns and rows of each list that is not empty."""
    under_way: list[tuple[object, ...]] = [
        (one["tenant"], one["status"], one["step"], elapsed(one["seconds"]), one["detail"])
        for one in found["under_way"]
    ]
    unwell: list[tuple[object, ...]] = [
        (one["tenant"], one["status"], elapsed(one["seconds"]), one["reason"]) for one in found["unwell"]
    ]
    lists = [
        (_title("Under way", found["under_way_count"], len(under_way)), UNDER_WAY, under_way),
        (_title("Unwell", found["unwell_count"], len(unwell)), UNWELL, unwell),
    ]
    return [one for one in lists if one[2]]


def elapsed(seconds: float | None) -> str:
    """`12 s`, `3 min 5 s`, `2 h 4 min`, `3 d 2 h`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {small}"
    return f"{whole} s"


def _title(word: str, count: int, shown: int) -> str:
    return f"{word}: {count}" + (f", of which {shown} are shown" if shown < count else "")


def _paused(found: dict[str, Any]) -> str:
    return f"  ({found['paused']} paused)" if found["paused"] else ""


def _queue(found: dict[str, Any]) -> str:
    oldest = found["oldest_queued"]
    if oldest is None:
        return "Nothing is queued"
    return f"Queued: {found['queued_count']}, the oldest is {oldest['tenant']}, for {elapsed(oldest['seconds'])}"


def _execution(client: Client, tenant: Tenant) -> Execution | None:
    """None: its record is gone meanwhile."""
    try:
        return client.get_execution(tenant.workflow_execution_id)
    except Problem as error:
        if error.status == 404:
            return None
        raise


def _under_way(tenant: Tenant, execution: Execution | None, now: datetime) -> dict[str, Any]:
    step = None if execution is None else execution.current_step
    began = tenant.updated_at if execution is None else execution.started_at or execution.created_at
    return {
        "tenant": tenant.name,
        "status": tenant.status,
        "execution_id": tenant.workflow_execution_id,
        "step": None if step is None else step.name,
        "seconds": seconds_since(began, now),
        "detail": message_of(tenant) or ("" if step is None else said_of(step)),
    }


def _queued(tenant: Tenant, execution: Execution | None, now: datetime) -> dict[str, Any]:
    since = tenant.updated_at if execution is None else execution.created_at
    return {
        "tenant": tenant.name,
        "execution_id": tenant.workflow_execution_id,
        "seconds": seconds_since(since, now),
    }


def _unwell(fleet: Fleet, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "tenant": tenant.name,
            "status": tenant.status,
            "seconds": seconds_since(tenant.updated_at, now),
            "reason": message_of(tenant),
        }
        for tenant in fleet.unwell
    ]
