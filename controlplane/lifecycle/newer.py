"""Rows that a newer release wrote, after a roll-back. What they say is shown, and a tenant that cannot be understood is
left alone. Pure."""

from collections.abc import Iterator

from controlplane.model import Action, Execution, ExecutionState, TenantRows
from controlplane.model.tolerance import is_known


def newer(rows: TenantRows) -> str | None:
    """What only a newer release can act on, for people. None: nothing.

    A delete needs nothing but placements, so it goes on whatever else the rows say."""
    return ", ".join(_words(rows)) or None


def _words(rows: TenantRows) -> Iterator[str]:
    tenant = rows.tenant
    if not is_known(tenant.status):
        yield f"status {tenant.status}"
    if tenant.deletion_requested_at is not None:
        return
    for execution in rows.executions:
        if not is_known(execution.state):
            yield f"state {execution.state} of {execution.id}"
        elif not execution.state.terminal:
            yield from _unfinished(execution)
        elif execution.id == tenant.serving_execution:
            yield from _parts(execution)


def _unfinished(execution: Execution) -> Iterator[str]:
    if not is_known(execution.action):
        yield f"action {execution.action} of {execution.id}"
    if execution.action is not Action.DELETE:
        yield from _parts(execution)
    stopping = execution.state is ExecutionState.STOPPING
    if stopping and execution.stop_cause is not None and not is_known(execution.stop_cause):
        yield f"stop cause {execution.stop_cause} of {execution.id}"


def _parts(execution: Execution) -> Iterator[str]:
    for part in execution.spec.unreadable:
        yield f"{part} in the spec of {execution.id}"
