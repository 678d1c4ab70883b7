"""`landlord pause` and `resume`: for one tenant, for all tenants on a provider, or for all."""

from typing import Annotated

import typer

from controlplane.cli.completion import tenants
from controlplane.cli.connection import connect
from controlplane.cli.console import output
from controlplane.cli.output import Format, FormatOption, show
from landlord_client import Client, Pauses, Tenant
from landlord_client.models import Document

Named = Annotated[str | None, typer.Argument(help="The tenant's name, or its id.", autocompletion=tenants)]
Provider = Annotated[str | None, typer.Option(help="All tenants on this compute or workflow provider (admin).")]
All = Annotated[bool, typer.Option("--all", help="All tenants (admin).")]


def pause(
    tenant: Named = None, provider: Provider = None, everything: All = False, format: FormatOption = Format.TABLE
) -> None:
    """Begin nothing new until `landlord resume` with the same argument. Without an argument, list what is paused.

    During a pause changes are accepted and stored, running work ends, and nothing is healed. Compute keeps running.

    Example: landlord pause --provider docker
    """
    with connect() as client:
        if tenant is None and provider is None and not everything:
            _list(client, format)
            return
        _only_one(tenant, provider, everything)
        if tenant is not None:
            found: Document = client.pause_tenant(tenant)
        else:
            found = client.pause(provider)
    _say(found, f"{_named(tenant, provider)}: paused", format)


def resume(
    tenant: Named = None, provider: Provider = None, everything: All = False, format: FormatOption = Format.TABLE
) -> None:
    """End a pause. Changes stored during the pause are carried out now. A wider pause still holds its tenants.

    Example: landlord resume --provider docker
    """
    _only_one(tenant, provider, everything)
    with connect() as client:
        if tenant is not None:
            client.resume_tenant(tenant)
            # Read the tenant again: the answer to the change does not name its other pauses.
            document = client.get_tenant(tenant)
            still = "; it is still paused, with its provider or with all" if document.paused else ""
            _say(document, f"{tenant}: resumed{still}", format)
        else:
            pauses = client.resume(provider)
            left = ", ".join(_scopes(pauses))
            still = f"; still paused: {left}" if left else ""
            _say(pauses, f"{_named(None, provider)}: resumed{still}", format)


def _only_one(tenant: str | None, provider: str | None, everything: bool) -> None:
    if (tenant is not None) + (provider is not None) + everything != 1:
        raise typer.BadParameter("give one of: a tenant, --provider, --all", param_hint="TENANT")


def _list(client: Client, format: Format) -> None:
    pauses = client.list_pauses()
    if format is not Format.TABLE:
        show(pauses, format, (), ())
        return
    scopes = _scopes(pauses)
    alone = [f"tenant {one.name}" for one in client.iterate_tenants() if one.paused and not _covered(one, pauses)]
    output.print("\n".join([*scopes, *alone]) or "nothing is paused", markup=False)


def _scopes(pauses: Pauses) -> list[str]:
    return [*(["all"] if pauses.all else []), *(f"provider {name}" for name in pauses.providers)]


def _covered(tenant: Tenant, pauses: Pauses) -> bool:
    """True if a wider pause holds the tenant, even if it is also paused by itself."""
    used = {tenant.provider, tenant.workflow.provider}
    return pauses.all or not used.isdisjoint(pauses.providers)


def _named(tenant: str | None, provider: str | None) -> str:
    if tenant is not None:
        return tenant
    return "all" if provider is None else f"provider {provider}"


def _say(document: Document, sentence: str, format: Format) -> None:
    if format is Format.TABLE:
        output.print(sentence, markup=False)
    else:
        show(document, format, (), ())
