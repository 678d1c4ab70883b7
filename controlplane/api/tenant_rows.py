"""The one door to tenants' rows for routes. Behind it is what the caller's token reaches; all else is not there.

Routes do not import the modules that read these rows (an import contract), so none can leave the reach out.
"""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Refused
from controlplane.model import Status, Tenant, is_tenant_name
from controlplane.model.selector import Requirement
from controlplane.persistence import tenants
from controlplane.persistence.pages import Page
from controlplane.persistence.tenants import TenantView, Views
from controlplane.persistence.tokens import Token
from controlplane.persistence.transaction import Transaction

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)


async def find(views: Views, token: Token, reference: str) -> TenantView:
    """Find a tenant for reading. A deleted one is found by UUID only.

    Raises Refused tenant_not_found (404), tenant_deleted (410)."""
    view = await find_any(views, token, reference)
    if view.tenant.status is Status.DELETED and not _is_uuid(reference):
        raise deleted(view.tenant)
    return view


async def find_any(views: Views, token: Token, reference: str) -> TenantView:
    """Find a tenant; if the name is nobody's now, the newest deleted one of that name. Raises Refused tenant_not_found
    (404)."""
    _refuse_nonsense(reference)
    view = await views.get(reference)
    if view is None or not reaches(token, view.tenant):
        raise Refused.tenant_not_found(reference)
    return view


async def page(
    database: AsyncEngine,
    token: Token,
    *,
    statuses: Sequence[Status],
    selector: Sequence[Requirement],
    name_prefix: str,
    lagging: bool,
    after: str | None,
    limit: int,
) -> Page[TenantView]:
    """As `tenants.page`."""
    return await tenants.page(
        database,
        reach=token.reach,
        statuses=statuses,
        selector=selector,
        name_prefix=name_prefix,
        lagging=lagging,
        after=after,
        limit=limit,
    )


async def lock(tx: Transaction, token: Token, reference: str) -> Tenant:
    """Lock a tenant for a change, until the transaction ends. Raises Refused tenant_not_found (404), tenant_deleted
    (410)."""
    _refuse_nonsense(reference)
    if _is_uuid(reference):
        tenant = await tenants.lock(tx, UUID(reference))
    else:
        tenant = await tenants.lock_by_name(tx, reference)
    if tenant is None or not reaches(token, tenant):
        raise Refused.tenant_not_found(reference)
    if tenant.status is Status.DELETED:
        raise deleted(tenant)
    return tenant


def reaches(token: Token, tenant: Tenant) -> bool:
    return token.reach.includes(tenant.name, tenant.labels)


def require_reach(token: Token, name: str, labels: Mapping[str, str]) -> None:
    """For a tenant as it will be after a change. Raises Refused forbidden (403)."""
    if not token.reach.includes(name, labels):
        raise Refused(
            f"token {token.name!r} reaches only {token.reach}, and this change would make a tenant beyond that",
            code="forbidden",
            status=403,
        )


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
