"""What the tests of the sweep share: a tenant at rest, and a sweep that says whom it nominated."""

from actors.runtime import Runtime
from actors.supervisor.nominations import Nominations
from actors.supervisor.probes import RestingProbes
from actors.supervisor.queue import Priority
from actors.supervisor.sweep import Sweep
from controlplane.model import Status, Tenant
from controlplane.persistence.fleet import TenantKey
from tests.integration.owner import World, spec


class Net:
    """A sweep over the world, and whom it nominated."""

    def __init__(self, runtime: Runtime) -> None:
        self.nominated: list[tuple[str, Priority]] = []
        self.nominations = Nominations(self._nominate)
        self.sweep = Sweep(runtime, self.nominations)
        self.probes = RestingProbes(runtime.prober, self.nominations, lambda: self.sweep.resting, (), 30)

    def _nominate(self, tenant: TenantKey, priority: Priority) -> None:
        self.nominated.append((tenant.name, priority))

    async def looked(self) -> list[tuple[str, Priority]]:
        """Whom one round of looking nominates."""
        self.nominated.clear()
        await self.sweep.resources()
        await self.probes.quick()
        return list(self.nominated)


async def served(world: World) -> Tenant:
    """`acme`, ready and at rest, without an owner."""
    tenant = await world.create(spec("1"))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
    return tenant
