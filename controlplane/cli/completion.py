"""Names that the shell completes. Whatever goes wrong, nothing is said and nothing is completed."""

import os
from contextlib import suppress
from threading import Thread

import typer

from controlplane.client import connection
from controlplane.client.contexts import Contexts, command_settings, contexts_path

PATIENCE_SECONDS = 1.0
"""Longest time that a key press waits for a control plane."""
MOST = 100


def tenants(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of tenants that begin so, within a second."""
    found: list[str] = []
    given = {key: str(value) for key, value in ctx.find_root().params.items() if key in ("context", "ca") and value}

    def ask() -> None:
        with suppress(Exception):
            environ = os.environ | {f"LANDLORD_{key.upper()}": value for key, value in given.items()}
            with connection.client_of(command_settings(environ)) as client:
                page = client.list_tenants(name_prefix=incomplete, limit=MOST)
            found.extend(tenant.name for tenant in page.items)

    # A thread of its own bounds everything: names that no server resolves, tries again, slow answers.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return list(found)


def contexts(incomplete: str) -> list[str]:
    """Names of contexts that begin so."""
    with suppress(Exception):
        return [name for name in sorted(Contexts.read(contexts_path()).contexts) if name.startswith(incomplete)]
    return []
