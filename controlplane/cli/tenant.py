"""`landlord tenant`: one verb for each call."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.console import errors, output, progress
from controlplane.cli.documents import read_document
from controlplane.cli.exits import Exit
from controlplane.cli.output import Format, FormatOption, show
from controlplane.client import Client, TenantDocument
from controlplane.settings import load_settings

app = typer.Typer(help="Create, look at, change and delete tenants.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tenant's name, or its id.")]
File = Annotated[Path | None, typer.Option("-f", "--file", help="YAML or JSON; - reads stdin.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value, read as YAML; may be repeated.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done; exit 1 when it ends badly.")]
Timeout = Annotated[float, typer.Option(help="Seconds that --wait takes at most.")]
IfMatch = Annotated[int | None, typer.Option(help="Only if this is still the tenant's version.")]
Key = Annotated[str | None, typer.Option(help="The same key and request act once only.")]

DEFAULT_TIMEOUT = 600.0


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="May be in the file instead.")] = None,
    file: File = None,
    assignments: Assignments = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Create a tenant: landlord tenant create acme -f acme.yaml --set spec.compute.config.image=web:2 --wait"""
    document = read_document(file, assignments or [])
    if name is not None:
        document["name"] = name
    with Client.of(load_settings()) as client:
        tenant = client.create_tenant(document, idempotency_key=idempotency_key)
        _answer(client, tenant, wait, timeout, format)


@app.command("list")
def list_tenants(
    status: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="All of these; may be repeated.")] = None,
    name_prefix: Annotated[str, typer.Option(help="Only names that begin so.")] = "",
    format: FormatOption = Format.TABLE,
) -> None:
    """Every tenant that is not deleted."""
    labels = dict(_pair(text) for text in label or [])
    with Client.of(load_settings()) as client:
        found = list(client.iterate_tenants(status=status or (), labels=labels, name_prefix=name_prefix))
    _show(found, found, format)


@app.command()
def get(name: Name, format: FormatOption = Format.TABLE) -> None:
    """One tenant; a deleted one by its id."""
    with Client.of(load_settings()) as client:
        tenant = client.get_tenant(name)
    _show(tenant, [tenant], format)


@app.command()
def update(
    name: Name,
    file: File = None,
    assignments: Assignments = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    if_match: IfMatch = None,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Change a tenant by a merge patch of spec, labels and annotations; null removes a key."""
    patch = read_document(file, assignments or [])
    if not patch:
        raise typer.BadParameter("give -f or --set", param_hint="-f")
    if patch.pop("name", name) != name:
        raise typer.BadParameter("the file is another tenant's: a name cannot be changed", param_hint="-f")
    with Client.of(load_settings()) as client:
        tenant = client.update_tenant(name, patch, if_match=if_match, idempotency_key=idempotency_key)
        _answer(client, tenant, wait, timeout, format)


@app.command()
def delete(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    force: Annotated[bool, typer.Option(help="Close the row now and abandon its compute (admin).")] = False,
    if_match: IfMatch = None,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Delete a tenant and its compute."""
    with Client.of(load_settings()) as client:
        tenant = client.delete_tenant(name, force=force, if_match=if_match, idempotency_key=idempotency_key)
        _answer(client, tenant, wait, timeout, format)


@app.command()
def retry(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Run what failed again."""
    with Client.of(load_settings()) as client:
        tenant = client.retry_tenant(name, idempotency_key=idempotency_key)
        _answer(client, tenant, wait, timeout, format)


@app.command("wait")
def wait_for(name: Name, timeout: Timeout = DEFAULT_TIMEOUT, format: FormatOption = Format.TABLE) -> None:
    """Wait until nothing is under way for a tenant; exit 1 when it ended badly."""
    with Client.of(load_settings()) as client:
        _answer(client, client.get_tenant(name), True, timeout, format)


def await_tenant(client: Client, tenant: TenantDocument, timeout: float) -> TenantDocument:
    """Wait and show what happens."""
    start = time.monotonic()
    with progress(f"{tenant['name']}: {tenant['status']}") as shown:

        def changed(now: TenantDocument) -> None:
            shown.say(f"{now['name']}: {now['status']}{_doing(client, now)}")

        tenant = client.wait_tenant(tenant["id"], timeout=timeout, changed=changed)
    errors.print(f"{tenant['name']}: {tenant['status']} after {time.monotonic() - start:.1f} s", markup=False)
    return tenant


def _answer(client: Client, tenant: TenantDocument, wait: bool, timeout: float, format: Format) -> None:
    if wait:
        tenant = await_tenant(client, tenant, timeout)
    _show(tenant, [tenant], format)
    if wait and tenant["status"] not in ("ready", "deleted"):
        reason = tenant["workflow"]["error"] or tenant["status_message"] or "see `landlord execution get`"
        errors.print(f"{tenant['name']} is {tenant['status']}: {reason}", style="red", markup=False)
        raise typer.Exit(Exit.FAILED)


def _doing(client: Client, tenant: TenantDocument) -> str:
    """The step that is being worked on, and why it has to be tried again."""
    if tenant["workflow"]["state"] not in ("running", "stopping"):
        return f" ({tenant['workflow']['state']})"
    steps = client.get_execution(tenant["workflow_execution_id"]).get("steps", [])
    current = next((step for step in steps if step["state"] in ("running", "backing-off")), None)
    if current is None:
        return ""
    attempt = f", attempt {current['attempts']}" if current["attempts"] > 1 else ""
    error = f": {current['error']}" if current["error"] else ""
    return f" ({current['name']} {current['state']}{attempt}{error})"


def _show(document: Any, tenants: list[TenantDocument], format: Format) -> None:
    columns = ("name", "status", "generation", "provider", "endpoint", "execution", "message")
    rows = [
        (
            tenant["name"],
            tenant["status"],
            tenant["generation"],
            tenant["spec"]["compute"]["provider"],
            " ".join(endpoint["url"] for endpoint in tenant["observed"]["endpoints"]),
            tenant["workflow_execution_id"],
            tenant["workflow"]["error"] or tenant["status_message"],
        )
        for tenant in tenants
    ]
    if format is Format.TABLE and not rows:
        output.print("no tenants")
        return
    show(document, format, columns, rows)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
    return key, value
