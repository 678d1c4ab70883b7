"""Two machines and one database. A tenant's resource is on one of them, under a provider that is another platform on
each, as `process` is. The other machine's cluster takes the tenant over: it acts on nothing, and says what it waits
for."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Condition, ConditionType, Status, Tenant
from controlplane.persistence.tenants import TenantView
from providers.compute.fake import FakeCloud
from tests.integration.owner import World, spec


class Machines:
    def __init__(self, database: AsyncEngine, url: str, root: Path) -> None:
        self.a, self.b = (
            World(database, url, root / name, FakeCloud(identity=f"machine-{name}")) for name in ("a", "b")
        )


@pytest.fixture
def machines(database: AsyncEngine, database_url: str, tmp_path: Path) -> Machines:
    return Machines(database, database_url, tmp_path)


async def ready_on_a(machines: Machines) -> Tenant:
    tenant = await machines.a.create(spec("1"))
    async with machines.a.owner(tenant):
        await machines.a.settled(tenant, Status.READY, 1)
    return tenant


def waiting(view: TenantView) -> Condition | None:
    return next((one for one in view.tenant.conditions if one.type == ConditionType.WAITING), None)


async def waits_on_b(machines: Machines, tenant: Tenant) -> None:
    async with machines.b.owner(tenant, max_attempts=2):
        view = await machines.b.until(tenant, lambda v: waiting(v) is not None and v.execution.retry_count > 4)
    said = waiting(view)
    assert said is not None
    assert said.reason == "PlatformUnavailable"
    assert "another platform (machine-b)" in said.message
    assert await machines.b.instances() == []
    assert await machines.a.instances() == [(1, 1, "running")]


async def test_a_delete_waits_for_its_own_machine(machines: Machines) -> None:
    tenant = await ready_on_a(machines)
    await machines.a.delete()
    await waits_on_b(machines, tenant)
    async with machines.a.owner(tenant) as owner:
        assert await owner.left() == "deleted"
    assert await machines.a.instances() == []


async def test_an_update_makes_no_second_one_on_the_other_machine(machines: Machines) -> None:
    tenant = await ready_on_a(machines)
    await machines.a.patch(spec("2"))
    await waits_on_b(machines, tenant)
    async with machines.a.owner(tenant):
        await machines.a.settled(tenant, Status.READY, 2)
    assert await machines.a.instances() == [(2, 1, "running")]


async def test_what_is_not_seen_there_is_not_healed_there(machines: Machines) -> None:
    """Its look fails, which says nothing about the tenant."""
    tenant = await ready_on_a(machines)
    async with machines.b.owner(tenant) as owner:
        owner.hurry()
        assert await owner.left() == "passivated"
    view = await machines.b.until(tenant, lambda v: v.tenant.lease_owner is None)
    assert (view.tenant.status, view.execution.run) == (Status.READY, 1)
    assert await machines.b.instances() == []
    assert await machines.a.instances() == [(1, 1, "running")]
