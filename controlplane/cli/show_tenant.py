"""A tenant as the answer of a command: shown, after a wait if --wait was given."""

import time
from typing import Any

import typer

from controlplane.cli.console import errors, output, progress
from controlplane.cli.execution import said_of
from controlplane.cli.exit_codes import Exit
from controlplane.cli.next_steps import after_failure
from controlplane.cli.output import Format, show
from controlplane.model import ConditionType
from landlord_client import Client, Tenant

STEPS_SECONDS = 1.0
"""Time between two looks at the steps of an execution that is waited for."""


def answer(client: Client, tenant: Tenant, wait: bool, timeout: float, format: Format) -> None:
    """Show the tenant; with `wait`, its final state. If it is neither ready nor deleted then, end with exit 1."""
    if wait:
        tenant = await_tenant(client, tenant, timeout)
    show_tenants(tenant, [tenant], format)
    if wait and tenant.status not in ("ready", "deleted"):
        reason = tenant.workflow.error or tenant.status_message or "it does not say why"
        errors.print(f"{tenant.name} is {tenant.status}: {reason}", style="red", markup=False)
        errors.print(f"next: {after_failure(tenant)}", markup=False)
        raise typer.Exit(Exit.FAILED)


def await_tenant(client: Client, tenant: Tenant, timeout: float) -> Tenant:
    """Wait until nothing is under way for the tenant, and show its step and the time that passed."""
    start = time.monotonic()
    with progress(f"{tenant.name}: {tenant.status}", timed=True) as shown:
        told = start - STEPS_SECONDS
        before: Tenant | None = None

        def looked(now: Tenant) -> None:
            # Steps go on while the tenant's document stays as it is.
            nonlocal told, before
            if now != before or time.monotonic() - told >= STEPS_SECONDS:
                before, told = now, time.monotonic()
                shown.say(f"{now.name}: {now.status}{_doing(client, now)}")

        tenant = client.wait_tenant(tenant.id, timeout=timeout, looked=looked)
    errors.print(f"{tenant.name}: {tenant.status} after {time.monotonic() - start:.1f} s", markup=False)
    return tenant


def show_tenants(document: Any, tenants: list[Tenant], format: Format) -> None:
    """`document` as it came, or a line for each of `tenants`."""
    columns = ("name", "status", "generation", "provider", "endpoint", "execution", "message")
    rows = [
        (
            tenant.name,
            tenant.status,
            tenant.generation,
            tenant.provider,
            " ".join(endpoint.url for endpoint in tenant.observed.endpoints),
            tenant.workflow_execution_id,
            message_of(tenant),
        )
        for tenant in tenants
    ]
    if format is Format.TABLE and not rows:
        output.print("no tenants")
        return
    show(document, format, columns, rows)


def _doing(client: Client, tenant: Tenant) -> str:
    """The step in progress, what it waits for, and the error of its last attempt."""
    if tenant.workflow.state not in ("running", "stopping"):
        return f" ({tenant.workflow.state})"
    current = client.get_execution(tenant.workflow_execution_id).current_step
    if current is None:
        return ""
    attempt = f", attempt {current.attempts}" if current.attempts > 1 else ""
    if current.waits_for:
        attempt += f", waits: {current.waits_for}"
    said = said_of(current)
    return f" ({current.name} {current.state}{attempt}{f': {said}' if said else ''})"


def message_of(tenant: Tenant) -> str:
    """The message for a person. \"paused\" comes first, because it explains why nothing happens."""
    message = _waiting(tenant) or tenant.workflow.error or tenant.status_message
    return ", ".join(part for part in ("paused" if tenant.paused else "", message) if part)


def _waiting(tenant: Tenant) -> str:
    """What the tenant waits for outside its own spec."""
    found = next((c for c in tenant.conditions if c.type == ConditionType.WAITING), None)
    return "" if found is None else f"waits ({found.reason}): {found.message}"
