"""`landlord tenant`: one command for each call of the API."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from controlplane.cli.connection import connect
from controlplane.cli.delete_selected import delete_selected
from controlplane.cli.elsewhere import Group, Place
from controlplane.cli.input import read_document
from controlplane.cli.options import (
    DEFAULT_TIMEOUT,
    Assignments,
    ComposeFile,
    File,
    IfMatch,
    Key,
    Name,
    NameOrSelector,
    Selector,
    Timeout,
    Wait,
    Yes,
)
from controlplane.cli.output import Format, FormatOption
from controlplane.cli.show_tenant import answer, show_tenants


class TenantCommands(Group):
    elsewhere: ClassVar[Mapping[str, Place]] = {
        "apply": Place("apply", "apply"),
        "plan": Place("plan", "plan"),
        "watch": Place("events", "watch"),
        "logs": Place("logs", "logs"),
        "exec": Place("run_command", "run_command"),
    }


app = typer.Typer(cls=TenantCommands, help="Create, show, change and delete tenants.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="The tenant's name, if the file does not name it.")] = None,
    file: File = None,
    compose: ComposeFile = None,
    assignments: Assignments = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Create a tenant from a file, from a service of a compose file, from values, or from both.

    With --compose it names each key of the service that it could not carry over, and what to do instead.

    Example: landlord tenant create acme -f acme.yaml --wait, or landlord tenant create acme --compose compose.yaml:web
    """
    document = read_document(file, assignments or [], compose)
    if name is not None:
        document["name"] = name
    with connect() as client:
        tenant = client.create_tenant(document, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command("list")
def list_tenants(
    status: Annotated[list[str] | None, typer.Option(help="Only tenants with this status. May be repeated.")] = None,
    label: Selector = None,
    name_prefix: Annotated[str, typer.Option(help="Only tenants whose name starts with this.")] = "",
    format: FormatOption = Format.TABLE,
) -> None:
    """List every tenant that is not deleted.

    Example: landlord tenant list -l tier=gold --status degraded
    """
    with connect() as client:
        found = list(client.iterate_tenants(status=status or (), selector=label or (), name_prefix=name_prefix))
    show_tenants(found, found, format)


@app.command()
def get(name: Name, format: FormatOption = Format.TABLE) -> None:
    """Show one tenant. Name a deleted tenant by its id.

    Example: landlord tenant get acme -o yaml
    """
    with connect() as client:
        tenant = client.get_tenant(name)
    show_tenants(tenant, [tenant], format)


@app.command()
def update(
    name: Name,
    file: File = None,
    compose: ComposeFile = None,
    assignments: Assignments = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    if_match: IfMatch = None,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Change a tenant with a merge patch of spec, labels and annotations; null removes a key.

    Example: landlord tenant update acme --set spec.compute.config.env.COLOR=blue --wait
    """
    patch = read_document(file, assignments or [], compose)
    if not patch:
        raise typer.BadParameter("give -f, --compose or --set", param_hint="-f")
    if patch.pop("name", name) != name:
        raise typer.BadParameter("the file names another tenant, and a name cannot be changed", param_hint="-f")
    with connect() as client:
        tenant = client.update_tenant(name, patch, if_match=if_match, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command()
def delete(
    name: NameOrSelector = None,
    selector: Selector = None,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    force: Annotated[bool, typer.Option(help="Mark it deleted now and abandon its compute (admin).")] = False,
    if_match: IfMatch = None,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Delete a tenant and its compute, or with -l every tenant that matches.

    With -l it shows them and asks; where nobody can be asked, it needs --yes. One that is changed meanwhile stays.

    Example: landlord tenant delete acme --wait, or landlord tenant delete -l team=blue --yes
    """
    if (name is None) == (not selector):
        raise typer.BadParameter("give a name or -l", param_hint="NAME")
    if name is None:
        if if_match is not None or idempotency_key is not None:
            raise typer.BadParameter("--if-match and --idempotency-key are of one tenant", param_hint="-l")
        delete_selected(selector or [], yes=yes, wait=wait, timeout=timeout, force=force, format=format)
        return
    with connect() as client:
        tenant = client.delete_tenant(name, force=force, if_match=if_match, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command()
def retry(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Run the newest generation of a failed tenant once more, as a new execution.

    Example: landlord tenant retry acme --wait, or landlord execution retry acme --wait
    """
    with connect() as client:
        tenant = client.retry_tenant(name, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command()
def redeploy(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Run the same spec again: its image is pulled, and the old resource goes once the new one is healthy.

    Example: landlord tenant redeploy acme --wait
    """
    with connect() as client:
        tenant = client.redeploy_tenant(name, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command()
def restart(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    idempotency_key: Key = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Restart what serves, in place. Its image stays as it is; see redeploy.

    Example: landlord tenant restart acme --wait
    """
    with connect() as client:
        tenant = client.restart_tenant(name, idempotency_key=idempotency_key)
        answer(client, tenant, wait, timeout, format)


@app.command("wait")
def wait_for(name: Name, timeout: Timeout = DEFAULT_TIMEOUT, format: FormatOption = Format.TABLE) -> None:
    """Wait until nothing is under way for a tenant; exit 1 if it ended badly.

    Example: landlord tenant wait acme --timeout 60
    """
    with connect() as client:
        answer(client, client.get_tenant(name), True, timeout, format)
