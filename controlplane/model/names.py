"""Names and ids of tenants, executions and resources."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from controlplane.model.states import Action

MAX_NAME = 40
"""Execution ids are at most 80 characters long (Step Functions' limit), so a name has at most 40."""

NAME_PATTERN = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
TenantName = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=MAX_NAME)]


def id8(tenant_id: UUID) -> str:
    """The last 8 hex digits of the tenant's UUID. With them, a reused name never collides with the earlier tenant."""
    return tenant_id.hex[-8:]


def _run_suffix(run: int) -> str:
    return f"-r{run}" if run > 1 else ""


def execution_id(name: str, action: Action, generation: int, tenant_id: UUID, run: int = 1) -> str:
    """`tenant-{name}-{action}-{generation}-{id8}[-r{run}]`. Fixed when the row is inserted; engines deduplicate by
    it."""
    return f"tenant-{name}-{action}-{generation}-{id8(tenant_id)}{_run_suffix(run)}"


def tenant_in_execution_id(id: str) -> str | None:
    """The tenant's name in such an id; None where it is none."""
    found = _EXECUTION_ID.fullmatch(id)
    return found[1] if found else None


def action_in_execution_id(id: str) -> Action | None:
    """The action in such an id, which is that of its row; None where it is none."""
    found = _EXECUTION_ID.fullmatch(id)
    return Action(found[2]) if found and found[2] in [action.value for action in Action] else None


_EXECUTION_ID = re.compile(r"tenant-(.+)-([a-z]+)-\d+-[0-9a-f]{8}(-r\d+)?")


def resource_name(name: str, tenant_id: UUID, generation: int, run: int = 1) -> str:
    """`landlord-{name}-{id8}-g{generation}[-r{run}]`. A resource name is never used twice."""
    return f"landlord-{name}-{id8(tenant_id)}-g{generation}{_run_suffix(run)}"


def is_tenant_name(text: str) -> bool:
    return len(text) <= MAX_NAME and re.fullmatch(NAME_PATTERN, text) is not None
