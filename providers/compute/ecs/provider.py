"""Tenants as services of Amazon ECS, one for each generation.

Atomic primitive against double creation: the service's name within its cluster (ECS refuses a second one, whether the
first runs or drains). Stop, start and remove address the service's ARN. A name is never used twice, so neither is an
ARN.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import UUID

from controlplane.errors import Unavailable
from controlplane.model import HealthSpec
from controlplane.model.masking import hidden_values
from controlplane.ports import DesiredResource, ExecutionGate, Origin, Resource
from controlplane.settings import Settings
from providers.aws.clients import AwsClients, input_shape
from providers.compute.ecs.config import EcsConfig, environment
from providers.compute.ecs.engine import EcsEngine, Service
from providers.compute.ecs.policy import EcsPolicy
from providers.compute.ecs.service import ServiceId, labels, tasks
from providers.kit import configs
from providers.kit.gated import GatedCompute, adoptable
from providers.kit.secrets import Secrets, revealed
from providers.kit.threads import Threads

THREADS = 8
DRAIN_SECONDS = 150.0
"""Time for tasks to end: ECS kills them after their `stopTimeout`, which is 120 s at most."""
LOOK_PATIENCE = 120.0
"""Time for one look, with its wait for a place: thousands of services are many calls."""
LOOK_SECONDS = 0.5
"""Time between two looks at ending tasks, because ECS has no call that waits. Doubles up to LONGEST_LOOK_SECONDS."""
LONGEST_LOOK_SECONDS = 5.0


class EcsCompute(GatedCompute[EcsConfig]):
    """A ComputeProvider, also `Restarts` and `KeepsBelongings`: `forget` removes a tenant's leftovers. Also
    `ReachesHost`.

    Its platform is an account and a region. The tenants choose clusters, and roles that lead to other accounts. It
    connects at its first call. `drain_seconds`: stop and destroy wait this long for tasks to end; then they are tried
    again."""

    name: ClassVar[str] = "ecs"
    resource_kind: ClassVar[str] = "service"
    config_model: ClassVar[type[EcsConfig]] = EcsConfig
    one_node: ClassVar[bool] = False

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        policy: EcsPolicy | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._policy = policy or EcsPolicy()
        self._secrets = secrets or Secrets(Path("/nonexistent"))
        self._clients = AwsClients(endpoint_url=endpoint_url, connections=THREADS)
        self._engine = EcsEngine(self._clients)
        self._threads = Threads("ecs", THREADS, patience=LOOK_PATIENCE)
        self._drain_seconds = drain_seconds
        self._identity: str | None = None

    @classmethod
    def build(cls, settings: Settings) -> Self:
        # Read here, since the first request would wait a quarter of a second for it, and all others behind it.
        input_shape("RegisterTaskDefinition")
        return cls(
            endpoint_url=settings.aws_endpoint_url, policy=EcsPolicy.of(settings), secrets=Secrets.build(settings)
        )

    def problems(self, config: EcsConfig, health: HealthSpec) -> configs.Problems:
        return [*self._policy.problems(config), *config.problems(health)]

    def host_access(self, config: Mapping[str, Any]) -> Sequence[str]:
        return self.parse(config).host_access()

    async def identity(self) -> str:
        """Account and region: a cluster is part of each service's ARN."""
        if self._identity is None:
            self._identity = await self._threads.ask(self._engine.identity)
        return self._identity

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        self._engine.expect(self.parse(desired.config), desired.origin)
        return await super().apply(desired, gate)

    async def create(self, desired: DesiredResource) -> str | None:
        """A service that runs no tasks yet. None: the name is taken. Its task definition comes first."""
        secrets = self._secrets.of(desired.origin.tenant_name)
        resolved = await self._threads.ask(secrets.resolve, desired.config)
        config = self.parse(resolved)
        # A secret's value may stand where it opens more than its reference did.
        configs.refuse(self._policy.problems(config))
        named = hidden_values(desired.config)
        hidden = [*environment(config.definition or {}), *revealed(desired.config, resolved), *named]
        return await self._threads.run(self._engine.create, config, desired.origin, hidden)

    async def observe(self, origin: Origin) -> Resource | None:
        found = await self._threads.ask(self._engine.find, origin)
        if found is None or not adoptable(labels(found[1]), origin):
            return None
        return await self._threads.ask(self._engine.seen, *found)

    async def inspect(self, resource_id: str) -> Resource | None:
        service_id = ServiceId.parse(resource_id)
        service = await self._threads.ask(self._engine.describe, service_id)
        return None if service is None else await self._threads.ask(self._engine.seen, service_id.place, service)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        """Looks in every cluster of the account, and of the accounts that the tenants' roles lead to."""
        chunks = await self._threads.ask(self._engine.chunks, installation_id, tenant_id)
        # Wait for each, even if another failed: no call outlives this one.
        described = await asyncio.gather(
            *(self._threads.ask(self._engine.owned, *chunk) for chunk in chunks), return_exceptions=True
        )
        found: list[Resource] = []
        for resources in described:
            if isinstance(resources, BaseException):
                raise resources
            found += resources
        return [
            one
            for one in found
            if one.origin.installation_id == installation_id and tenant_id in (None, one.origin.tenant_id)
        ]

    async def start(self, resource_id: str) -> None:
        """A missing resource is no error here: the next observation shows it."""
        await self._threads.run(self._engine.start, ServiceId.parse(resource_id))

    async def restart(self, resource_id: str) -> None:
        """A new rollout of the same task definition."""
        await self._threads.run(self._engine.restart, ServiceId.parse(resource_id))

    async def stop(self, resource_id: str) -> None:
        """Scales the service to no tasks. Raises Retryable if they take too long to end."""
        service_id = ServiceId.parse(resource_id)
        service = await self._threads.run(self._engine.scale_to_none, service_id)
        await self._until(service_id, service, lambda seen: seen is None or tasks(seen) == 0)

    async def destroy(self, resource_id: str) -> None:
        """Remove its tasks first, then the service, then the definitions that were registered for it. Returns once it
        is gone.

        A service that is deleted with tasks is in no list while they still run. So it drains first, while it is
        visible."""
        service_id = ServiceId.parse(resource_id)
        await self.stop(resource_id)
        service = await self._threads.run(self._engine.delete, service_id)
        await self._until(service_id, service, lambda seen: seen is None)
        await self._threads.run(self._engine.retire_definitions, service_id)

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        await self._threads.run(self._engine.forget, installation_id, tenant_id)

    async def ping(self) -> None:
        await self._threads.ask(self._engine.ping)

    async def close(self) -> None:
        self._threads.close()
        self._clients.close()

    async def _until(self, service_id: ServiceId, seen: Service | None, done: Callable[[Service | None], bool]) -> None:
        """Look until `done` is true. Raises Unavailable if that takes too long; the next attempt continues from
        there."""
        clock = asyncio.get_running_loop()
        deadline, pause = clock.time() + self._drain_seconds, LOOK_SECONDS
        while not done(seen):
            if clock.time() >= deadline:
                left = 0 if seen is None else tasks(seen)
                raise Unavailable(f"service {service_id.name} is still draining: {left} tasks running or pending")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK_SECONDS)
            seen = await self._threads.ask(self._engine.describe, service_id)
