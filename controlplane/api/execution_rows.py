"""The door to executions' rows for routes: those of tenants that the caller's token reaches."""

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.api.tenant_rows import reaches
from controlplane.errors import Refused
from controlplane.model import Execution, Step, Tenant
from controlplane.persistence import executions, tenants
from controlplane.persistence.tokens import Token
from controlplane.persistence.transaction import Transaction


async def find(database: AsyncEngine, token: Token, id: str) -> tuple[Execution, tuple[Step, ...]]:
    """An execution and its steps, for reading. Raises Refused execution_not_found (404)."""
    _refuse_nonsense(id)
    found = await executions.get(database, id)
    if found is None:
        raise Refused.execution_not_found(id)
    if not token.reach.everything:
        view = await tenants.get(database, str(found[0].tenant_id))
        if view is None or not reaches(token, view.tenant):
            raise Refused.execution_not_found(id)
    return found


async def page(database: AsyncEngine, tenant: Tenant, *, before: tuple[int, int] | None, limit: int) -> list[Execution]:
    """Executions of a tenant that was found by `tenant_rows`, as `executions.page`."""
    return await executions.page(database, tenant.id, before=before, limit=limit)


async def lock(tx: Transaction, token: Token, id: str) -> tuple[Tenant, Execution]:
    """Lock an execution and its tenant for a change, until the transaction ends. Raises Refused execution_not_found
    (404)."""
    _refuse_nonsense(id)
    tenant = await tenants.lock_of_execution(tx, id)
    execution = await executions.lock(tx.connection, id)
    if tenant is None or execution is None or not reaches(token, tenant):
        raise Refused.execution_not_found(id)
    return tenant, execution


def _refuse_nonsense(id: str) -> None:
    if len(id) > 100 or not id.isascii() or not id.isprintable():
        raise Refused.execution_not_found(id[:100])
