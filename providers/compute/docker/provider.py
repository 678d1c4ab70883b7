"""Tenants as containers of a Docker Engine.

Atomic primitive against double creation: the container's name (Docker Engine answers 409 to the second create). Stop,
start and remove address the container's id.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from controlplane.errors import Retryable, Unavailable
from controlplane.model import HealthSpec
from controlplane.ports import (
    OWNER_LABEL,
    TENANT_ID_LABEL,
    DesiredResource,
    LogPart,
    Origin,
    Ran,
    Resource,
    tenant_id_of,
)
from controlplane.settings import DEFAULT_SUBNETS, Settings
from providers.compute.docker.address import EngineAddress
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.container import from_inspection, from_summary
from providers.compute.docker.engine import PULL_SECONDS, DockerEngine
from providers.compute.docker.login import Login
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.reach import HERE, Reach
from providers.compute.docker.subnets import SubnetPool
from providers.kit import configs
from providers.kit.commands import Running
from providers.kit.gated import GatedCompute, adoptable
from providers.kit.secrets import Secrets
from providers.kit.threads import Threads

THREADS = 8
"""The number of effects, of looks, and of pulls at once."""
COMMANDS = 8
"""The number of commands in tenants' containers at once."""
STOPS = 32
"""The number of stops at once. Each may last as long as its tenant's `stop_grace_seconds`."""
TIMEOUT_SECONDS = 30
"""Time-out of one request to Docker Engine. A cancelled effect waits about this long at most, and a stop longer by the
time that its container has to end."""
AVAILABLE_SECONDS = 2


class DockerCompute(GatedCompute[DockerConfig]):
    """A ComputeProvider, also `FollowsLogs`, `RunsCommands`, `RunsExecProbes` (as a HEALTHCHECK), `ReachesHost`,
    `HoldsData` and `KeepsBelongings`: named volumes and the tenant's own network stay until the tenant is deleted.

    Make one per process; it connects at its first call. `subnets`: the ranges of addresses of tenants' networks."""

    name: ClassVar[str] = "docker"
    resource_kind: ClassVar[str] = "container"
    config_model: ClassVar[type[DockerConfig]] = DockerConfig
    one_node: ClassVar[bool] = True
    exec_probe: ClassVar[Literal[True]] = True

    def __init__(
        self,
        *,
        policy: DockerPolicy | None = None,
        subnets: Sequence[str] = DEFAULT_SUBNETS,
        secrets: Secrets | None = None,
        pull_seconds: float = PULL_SECONDS,
        ports_at: str | None = None,
    ) -> None:
        """`pull_seconds`: time for one pull; after it the next attempt pulls again. `ports_at`: where published ports
        are reached, if not at the address of the engine."""
        self._policy = policy or DockerPolicy()
        self._secrets = secrets or Secrets(Path("/nonexistent"))
        self._engine = DockerEngine(
            timeout=TIMEOUT_SECONDS,
            connections=3 * THREADS,
            pull_seconds=pull_seconds,
            subnets=SubnetPool(subnets),
            ports_at=ports_at,
        )
        self._ports_at = ports_at
        self._threads = Threads("docker", THREADS)
        # A container may take minutes to end, and no other tenant's effect waits for that.
        self._stops = Threads("docker-stop", STOPS)
        # Commands of people: one that hangs holds no look of ours.
        self._commands = Threads("docker-command", COMMANDS)
        # A pull has no effect on a tenant, so a cancelled one is not waited for. It may take long, so it has places of
        # its own, and its own bound instead of a look's.
        self._pulls = Threads("docker-pull", THREADS, patience=None)

    @classmethod
    def build(cls, settings: Settings) -> Self:
        return cls(
            policy=DockerPolicy.of(settings),
            subnets=settings.docker_subnets,
            secrets=Secrets.build(settings),
            pull_seconds=min(PULL_SECONDS, settings.step_timeout_seconds),
            ports_at=settings.docker_address,
        )

    @classmethod
    def available(cls, settings: Settings) -> bool:
        """True if a Docker Engine answers. Blocks for AVAILABLE_SECONDS at most."""
        engine = DockerEngine(timeout=AVAILABLE_SECONDS, connections=1)
        try:
            engine.ping()
        except Retryable:
            return False
        finally:
            engine.close()
        return True

    async def identity(self) -> str:
        """Asked each time: another Docker Engine may take over the same socket."""
        return await self._threads.ask(self._engine.identity)

    def problems(self, config: DockerConfig, health: HealthSpec) -> configs.Problems:
        own_port = self._policy.holds_own_port(config)
        if own_port and not self._is_here():
            own_port = []
        return [
            *self._policy.problems(self._at_own_address(config)),
            *own_port,
            *config.problems(health),
            *self._out_of_reach(config, health),
        ]

    def host_access(self, config: Mapping[str, Any]) -> Sequence[str]:
        return self.parse(config).host_access()

    def holds_data(self, config: Mapping[str, Any]) -> bool:
        return bool(self.parse(config).volumes)

    async def create(self, desired: DesiredResource) -> str | None:
        """A container that is not started. None: the name is taken. Its image, volumes and network come first."""
        secrets = self._secrets.of(desired.origin.tenant_name)
        given = self.parse(desired.config)
        # A login is for the pull alone, which reads it itself, if it comes to that.
        rest = {name: value for name, value in desired.config.items() if name != "registry_auth"}
        config = self._at_own_address(self.parse(await self._threads.ask(secrets.resolve, rest)))

        def logins(registry: str) -> Login:
            if given.registry_auth is None:
                return Login.of_machine(registry)
            return Login.of_tenant(secrets.value(given.registry_auth.secret), registry)

        await self._pulls.ask(self._engine.provide_image, config, logins, fresh=desired.fresh)
        return await self._threads.run(self._engine.create, config, desired)

    async def observe(self, origin: Origin) -> Resource | None:
        details = await self._threads.ask(self._engine.inspect, origin.name)
        if details is None or not adoptable(details["Config"]["Labels"] or {}, origin):
            return None
        return await self._seen(details)

    async def inspect(self, resource_id: str) -> Resource | None:
        details = await self._threads.ask(self._engine.inspect, resource_id)
        return None if details is None else await self._seen(details)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        rows = await self._threads.ask(self._engine.containers, _labels(installation_id, tenant_id))
        return [resource for row in rows if (resource := from_summary(row, self._engine.reach)) is not None]

    async def start(self, resource_id: str) -> None:
        """A missing resource is no error here: the next observation shows it."""
        await self._threads.run(self._engine.start, resource_id)

    async def stop(self, resource_id: str) -> None:
        await self._stops.run(self._engine.stop, resource_id)

    async def destroy(self, resource_id: str) -> None:
        """Remove it. Returns once it is gone."""
        await self.stop(resource_id)
        await self._threads.run(self._engine.destroy, resource_id)

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        """Raises Retryable while a container of the tenant still uses one of them, HeldByOthers if only containers of
        others use one."""
        await self._threads.run(self._engine.forget, _labels(installation_id, tenant_id))

    async def tenants_with_belongings(self, installation_id: str) -> set[UUID]:
        labelled = await self._threads.ask(self._engine.belongings, _labels(installation_id, None))
        return {tenant_id for labels in labelled if (tenant_id := tenant_id_of(labels)) is not None}

    async def logs(self, resource_id: str, tail: int) -> str:
        return await self._threads.ask(self._engine.logs, resource_id, tail)

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:
        return await self._threads.ask(self._engine.logs_after, resource_id, position, tail)

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        running = Running(seconds)
        try:
            async with asyncio.timeout(seconds):
                code = await self._commands.ask(self._engine.run, resource_id, command, running)
        except TimeoutError:
            code = None
        return Ran(code, running.text, running.cut)

    async def ping(self) -> None:
        await self._threads.ask(self._engine.ping)

    async def close(self) -> None:
        self._threads.close()
        self._pulls.close()
        self._stops.close()
        self._commands.close()
        self._engine.close()

    def _is_here(self) -> bool:
        """Whether the engine is on this machine; True too if its address cannot be used."""
        try:
            return EngineAddress.find().reach == HERE
        except Unavailable:
            return True

    def _at_own_address(self, config: DockerConfig) -> DockerConfig:
        return config.published_at(self._policy.address) if self._is_here() else config

    def _out_of_reach(self, config: DockerConfig, health: HealthSpec) -> configs.Problems:
        """A port to probe that is published on the loopback of another machine."""
        if health.http is None and health.tcp is None:
            return []
        try:
            reach = EngineAddress.find().reach if self._ports_at is None else Reach(self._ports_at)
        except Unavailable:
            return []  # `providers` says what is wrong with the address; the tenant waits for it
        return config.out_of_reach(health, reach)

    async def _seen(self, details: Mapping[str, Any]) -> Resource | None:
        """An inspection as a Resource. If the container has ended, with the last line of its output."""
        ended = details["State"]["Status"] in ("exited", "dead", "restarting")
        last_line = await self._threads.ask(self._engine.last_line, details["Id"]) if ended else ""
        return from_inspection(details, last_line, self._engine.reach)


def _labels(installation_id: str, tenant_id: UUID | None) -> list[str]:
    of_tenant = [] if tenant_id is None else [f"{TENANT_ID_LABEL}={tenant_id}"]
    return [f"{OWNER_LABEL}={installation_id}", *of_tenant]
