"""`landlord tenant apply`: make tenants what files say, after a look at what that changes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.connection import connect
from controlplane.cli.consent import consent, show_deletes
from controlplane.cli.console import errors, output
from controlplane.cli.exit_codes import Exit
from controlplane.cli.input import read_documents
from controlplane.cli.options import DEFAULT_TIMEOUT, Selector, Timeout, Wait, Yes
from controlplane.cli.output import Format, FormatOption
from controlplane.cli.plan import existing, show_plan
from controlplane.cli.show_tenant import await_tenant, show_tenants
from controlplane.client.apply import patch_to, surplus, wanted
from landlord_client import Client, Plan, Problem, Tenant


@dataclass
class Change:
    """One tenant's change, as it was planned. `tenant`: as it is now; None: it does not exist."""

    name: str
    tenant: Tenant | None
    body: dict[str, Any]
    plan: Plan

    @property
    def needed(self) -> bool:
        return self.tenant is None or bool(self.plan.changes)

    def make(self, client: Client) -> Tenant:
        if self.tenant is None:
            return client.create_tenant(self.body)
        return client.update_tenant(self.name, self.body, if_match=self.tenant.version)


def apply(
    files: Annotated[
        list[Path],
        typer.Option("-f", "--file", help="YAML or JSON, a directory of such files, or - for stdin. May be repeated."),
    ],
    prune: Annotated[bool, typer.Option(help="Delete the tenants that -l selects and no file names.")] = False,
    selector: Selector = None,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    format: FormatOption = Format.TABLE,
) -> None:
    """Create or change tenants until they are as the files say.

    A file has one tenant, a list of them, or several documents parted by ---. What a tenant has beyond its document is
    removed from spec, labels and annotations, if the document has that part. All changes are planned and shown first;
    if one would be refused, nothing is changed. Asks on a terminal; deleting needs --yes elsewhere.

    Example: landlord tenant apply -f tenants/ --prune -l team=blue
    """
    if prune != bool(selector):
        raise typer.BadParameter("--prune and -l go together: only what is selected is deleted", param_hint="--prune")
    documents = [wanted(document) for document in read_documents(files)]
    with connect() as client:
        changes = [_planned(client, document) for document in documents]
        gone = surplus(list(client.iterate_tenants(selector=selector or ())), documents) if prune else []
        needed = [change for change in changes if change.needed]
        for change in changes:
            show_plan(change.name, change.plan, errors)
        show_deletes(gone)
        if (needed or gone) and not yes:
            words = [f"change {len(needed)}"] * bool(needed) + [f"delete {len(gone)} with their compute"] * bool(gone)
            consent(f"Tenants: {' and '.join(words)}?", deleted=len(gone))
        done = [change.make(client) for change in needed] + [client.delete_tenant(one.name) for one in gone]
        if wait:
            done = [await_tenant(client, tenant, timeout) for tenant in done]
    if format is Format.TABLE and not done:
        output.print("nothing to change")
        return
    show_tenants(done, done, format)
    if wait and (bad := [one.name for one in done if one.status not in ("ready", "deleted")]):
        errors.print(f"not ready: {', '.join(bad)}", style="red", markup=False)
        raise typer.Exit(Exit.FAILED)


def _planned(client: Client, document: dict[str, Any]) -> Change:
    """What it would change. Raises Problem, which names the tenant, as the change itself would be."""
    name = document["name"]
    try:
        tenant = existing(client, name)
        if tenant is None:
            return Change(name, None, document, client.plan_create(document))
        patch = patch_to(tenant.document, document)
        return Change(name, tenant, patch, client.plan_update(name, patch))
    except Problem as error:
        raise error.saying(f"{name}: {error.message}; nothing was changed") from None
