"""`Prefer: wait=N` holds the answer until the execution has ended. Events say when; the rows are also polled slowly."""

import asyncio
import re

from controlplane.api.replica import Replica
from controlplane.api.tenant_rows import reaches
from controlplane.persistence import executions, tenants
from controlplane.persistence.tenants import TenantView
from controlplane.persistence.tokens import Token

MAX_SECONDS = 60.0
LOOK_SECONDS = 2.0
"""Events say when to look. If their connection is down, this interval does."""
_WAIT = re.compile(r"^wait\s*=\s*\"?(\d{1,9})\"?$", re.I)


def wait_seconds(prefer: str | None) -> float:
    """Seconds from `Prefer` (RFC 7240), at most 60. 0 without the header, and for preferences that we do not know."""
    for preference in (prefer or "").split(","):
        if found := _WAIT.match(preference.split(";", 1)[0].strip()):
            return min(float(found[1]), MAX_SECONDS)
    return 0.0


async def final_tenant(here: Replica, token: Token, execution_id: str, seconds: float) -> TenantView | None:
    """The tenant once the execution, or the last one that superseded it, has ended. None: it did not end in this time,
    the tenant has left the token's reach, or too many clients wait already, of this token or of all."""
    if not here.waiters.has_room(str(token.id)):
        return None
    async with here.waiters.take(str(token.id)):
        try:
            async with asyncio.timeout(seconds):
                view = await _ended(here, execution_id)
        except TimeoutError:
            return None
    return view if view is not None and reaches(token, view.tenant) else None


async def _ended(here: Replica, execution_id: str) -> TenantView | None:
    found = await executions.get(here.database, execution_id)
    if found is None:
        return None
    with here.feed.subscribe(found[0].tenant_id) as changes:
        while True:
            changes.clear()
            found = await executions.get(here.database, execution_id)
            if found is None:
                return None
            execution = found[0]
            if execution.superseded_by is not None:
                execution_id = execution.superseded_by
            elif execution.state.terminal:
                return await tenants.get(here.database, str(execution.tenant_id))
            else:
                await changes.next(LOOK_SECONDS)
