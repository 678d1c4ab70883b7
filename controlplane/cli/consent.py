"""Asks before many tenants are changed at once, and before any of them is deleted."""

import sys
from collections.abc import Iterable

import typer

from controlplane.cli.console import errors
from landlord_client import Tenant


def show_deletes(tenants: Iterable[Tenant]) -> None:
    for tenant in tenants:
        errors.print(f"{tenant.name}: delete", style="red", markup=False)


def consent(question: str, *, deleted: int) -> None:
    """Ask on a terminal; a no aborts. Elsewhere nobody can say yes: what deletes tenants is refused there, and needs
    `--yes`."""
    if sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
    elif deleted:
        raise typer.BadParameter(f"{deleted} tenants would be deleted: say --yes", param_hint="--yes")
