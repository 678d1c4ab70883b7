"""Finding a tenant by the name or UUID in a path."""

import re
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Refused
from controlplane.model import Status, Tenant, is_tenant_name
from controlplane.persistence import tenants
from controlplane.persistence.tenants import TenantView
from controlplane.persistence.transaction import Transaction

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)


async def find(database: AsyncEngine, reference: str) -> TenantView:
    """Find a tenant for reading. A deleted one is found by UUID only.

    Raises Refused tenant_not_found (404), tenant_deleted (410)."""
    _refuse_nonsense(reference)
    view = await tenants.get(database, reference)
    if view is None:
        raise Refused.tenant_not_found(reference)
    if view.tenant.status is Status.DELETED and not _is_uuid(reference):
        raise deleted(view.tenant)
    return view


async def lock(tx: Transaction, reference: str) -> Tenant:
    """Lock a tenant for a change, until the transaction ends. Raises Refused tenant_not_found (404), tenant_deleted
    (410)."""
    _refuse_nonsense(reference)
    if _is_uuid(reference):
        tenant = await tenants.lock(tx, UUID(reference))
    else:
        tenant = await tenants.lock_by_name(tx, reference)
    if tenant is None:
        raise Refused.tenant_not_found(reference)
    if tenant.status is Status.DELETED:
        raise deleted(tenant)
    return tenant


def _is_uuid(reference: str) -> bool:
    return _UUID.fullmatch(reference) is not None


def _refuse_nonsense(reference: str) -> None:
    """An impossible name is refused without asking the database."""
    if not is_tenant_name(reference) and not _is_uuid(reference):
        raise Refused.tenant_not_found(reference[:80])


def deleted(tenant: Tenant) -> Refused:
    """The answer for a deleted tenant's name until the name is used again."""
    return Refused(
        f"tenant {tenant.name!r} was deleted; its record is at /v1/tenants/{tenant.id}",
        code="tenant_deleted",
        status=410,
        members={"tenant_id": str(tenant.id)},
    )
