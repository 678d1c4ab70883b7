"""`landlord tenant plan`: show as a diff what a change would do."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from controlplane.cli.completion import tenants
from controlplane.cli.connection import connect
from controlplane.cli.console import output
from controlplane.cli.input import read_document
from controlplane.cli.options import Assignments, ComposeFile, File
from controlplane.cli.output import Format, FormatOption, show
from landlord_client import Change, Client, Plan, Problem, Tenant

COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def plan(
    name: Annotated[
        str | None, typer.Argument(help="The tenant's name, if the file does not name it.", autocompletion=tenants)
    ] = None,
    file: File = None,
    compose: ComposeFile = None,
    assignments: Assignments = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show what `tenant create` would do, or `tenant update` if the tenant exists, with the same arguments.

    Nothing is stored and nothing is started. Fails with the same errors as the change itself.

    Example: landlord tenant plan acme --set spec.compute.config.image=web:2
    """
    document = read_document(file, assignments or [], compose)
    if not document:
        raise typer.BadParameter("give -f, --compose or --set", param_hint="-f")
    named = document.setdefault("name", name)
    if named is None or (name is not None and named != name):
        raise typer.BadParameter("give the tenant's name once, here or in the file", param_hint="NAME")
    with connect() as client:
        found = _plan(client, document)
    if format is not Format.TABLE:
        show(found, format, (), ())
        return
    show_plan(named, found, output)


def show_plan(name: str, found: Plan, console: Console) -> None:
    """A line that sums up, and one for each value that would change."""
    console.print(f"{name}: {_summary(found)}", markup=False)
    for change in found.changes:
        sign, line = _line(change)
        console.print(f"  {sign} {line}", style=COLOURS[sign], markup=False)


def _plan(client: Client, document: dict[str, Any]) -> Plan:
    name = document["name"]
    if existing(client, name) is None:
        return client.plan_create(document)
    return client.plan_update(name, {key: value for key, value in document.items() if key != "name"})


def existing(client: Client, name: str) -> Tenant | None:
    """The tenant of this name, if there is one to update; else it is to be created."""
    try:
        return client.get_tenant(name)
    except Problem as error:
        if error.code in ("tenant_not_found", "tenant_deleted"):
            return None
        raise


def _summary(found: Plan) -> str:
    if found.action != "none":
        return f"{found.action}, generation {found.generation}, as {found.workflow_execution_id}"
    return "no execution, only stored values change" if found.changes else "nothing would change"


def _line(change: Change) -> tuple[str, str]:
    path, before, after = change.path, change.before, change.after
    if before is None:
        return "+", f"{path}: {_value(after)}"
    if after is None:
        return "-", f"{path}: {_value(before)}"
    return "~", f"{path}: {_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    """As JSON, so that \"1\" and 1 look different."""
    return json.dumps(value, ensure_ascii=False)
