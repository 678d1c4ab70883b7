"""`landlord tenant delete -l SELECTOR`: delete what matches, after a look at it."""

from collections.abc import Sequence

import typer

from controlplane.cli.connection import connect
from controlplane.cli.consent import consent, show_deletes
from controlplane.cli.console import errors
from controlplane.cli.exit_codes import Exit
from controlplane.cli.output import Format
from controlplane.cli.show_tenant import await_tenant, show_tenants
from controlplane.text import clean
from landlord_client import Client, Problem, Tenant


def delete_selected(
    selector: Sequence[str], *, yes: bool, wait: bool, timeout: float, force: bool, format: Format
) -> None:
    """Ends with exit 1 if a tenant could not be deleted; the others are."""
    if not all(one.strip() for one in selector):
        # A variable that a script forgot to set; it would select everything.
        raise typer.BadParameter("a selector is empty", param_hint="-l")
    with connect() as client:
        found = list(client.iterate_tenants(selector=selector))
        show_deletes(found)
        if found and not yes:
            consent(f"Delete {len(found)} tenants with their compute?", deleted=len(found))
        asked = [_delete(client, tenant, force) for tenant in found]
        done = [tenant for tenant in asked if tenant is not None]
        if wait:
            done = [await_tenant(client, tenant, timeout) for tenant in done]
    show_tenants(done, done, format)
    bad = [tenant.name for tenant in done if tenant.status != "deleted"] if wait else []
    if bad:
        errors.print(f"not deleted: {', '.join(bad)}", style="red", markup=False)
    if bad or len(done) < len(found):
        raise typer.Exit(Exit.FAILED)


def _delete(client: Client, tenant: Tenant, force: bool) -> Tenant | None:
    """None if it was refused, which is said. By id and version: as it was when it was shown."""
    try:
        return client.delete_tenant(tenant.id, force=force, if_match=tenant.version)
    except Problem as error:
        if error.code == "tenant_deleted":
            return client.get_tenant(tenant.id)
        errors.print(f"{tenant.name}: {clean(error.message)} ({error.code})", style="red", markup=False)
        return None
