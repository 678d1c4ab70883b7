"""The common part of all compute providers, as their base; above all the order of `apply`: observe, gate, create, gate,
make way, start, gate."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

from controlplane.errors import InvalidConfig, NameConflict, NotCurrent, Retryable
from controlplane.model import HealthSpec
from controlplane.ports import (
    Change,
    DesiredResource,
    ExecutionGate,
    Origin,
    ProviderHealth,
    Resource,
    ResourceState,
    RunsExecProbes,
)
from providers.kit import configs
from providers.kit.configs import Problems, ProviderConfig

Config = TypeVar("Config", bound=ProviderConfig)


class GatedCompute(ABC, Generic[Config]):
    """Base of a ComputeProvider. The subclass brings the platform's verbs: the abstract ones below, and `list_owned`,
    `stop`, `destroy` and `close` of `ports.ComputeProvider`."""

    config_model: ClassVar[type[ProviderConfig]]

    @abstractmethod
    async def identity(self) -> str: ...

    @abstractmethod
    async def create(self, desired: DesiredResource) -> str | None:
        """Create the resource without starting it, labels included, in one atomic step; return its id. None: the name
        is taken."""

    @abstractmethod
    async def observe(self, origin: Origin) -> Resource | None: ...

    @abstractmethod
    async def inspect(self, resource_id: str) -> Resource | None: ...

    @abstractmethod
    async def start(self, resource_id: str) -> None: ...

    async def ping(self) -> None:
        """Raises Retryable if the platform does not answer."""
        await self.identity()

    def parse(self, config: Mapping[str, Any]) -> Config:
        """Raises InvalidConfig."""
        return cast(Config, configs.parse(self.config_model, config))

    def problems(self, config: Config, health: HealthSpec) -> Problems:
        """Parts that can never work here. If that depends on a setting, these are more than `config` itself knows."""
        return config.problems(health)

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        parsed = self.parse(config)
        exec_probe = () if isinstance(self, RunsExecProbes) else configs.exec_probe_refused(health)
        configs.refuse(self.problems(parsed, health), unsupported=[*parsed.unsupported(health), *exec_probe])

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        return configs.difference(self.config_model, before, after)

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        try:
            return self.parse(after).excludes(self.parse(before))
        except InvalidConfig:
            return True  # maybe from another release: its ports and volumes are unknown

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        self.validate(desired.config, desired.health)
        return await apply_gated(self, desired, gate)

    async def health(self) -> ProviderHealth:
        try:
            await self.ping()
        except Retryable as error:
            return ProviderHealth(False, error.message)
        return ProviderHealth(True)


async def apply_gated(verbs: GatedCompute[Any], desired: DesiredResource, gate: ExecutionGate) -> Resource:
    """Make the resource exist and run. A repeated or concurrent call adopts the existing one.

    Raises NotCurrent (`made`: the id that this very call created), NameConflict, Retryable, and the verbs' own errors.
    """
    wanted = desired.origin
    made: str | None = None
    found = await verbs.observe(wanted)
    if found is None:
        await _pass(gate, wanted, None)
        made = await verbs.create(desired)
        found = await (verbs.observe(wanted) if made is None else verbs.inspect(made))
    if found is None:
        raise Retryable(f"{wanted.name} existed a moment ago and is gone")
    if found.state not in (ResourceState.CREATED, ResourceState.STOPPED):
        return found
    # One query serves as the gate after create and as the gate before start.
    await _pass(gate, wanted, made)
    if await gate.make_way():
        await _pass(gate, wanted, made)
    await verbs.start(found.id)
    await _pass(gate, wanted, made)
    started = await verbs.inspect(found.id)
    if started is None:
        raise Retryable(f"{wanted.name} was removed while it was being started")
    return started


async def _pass(gate: ExecutionGate, wanted: Origin, made: str | None) -> None:
    if not await gate.current():
        raise NotCurrent(
            f"{wanted.execution_id} is no longer current; {wanted.name} is left to the next execution",
            made=made,
            execution=wanted.execution_id,
        )


def adoptable(labels: Mapping[str, str], wanted: Origin) -> bool:
    """Whether the resource with our name and these labels is the one we want.

    False: it is the tenant's own, of another generation, run or spec. Raises NameConflict if it belongs to somebody
    else.
    """
    found = Origin.from_labels(labels)
    if found is None or (found.installation_id, found.tenant_id) != (wanted.installation_id, wanted.tenant_id):
        raise NameConflict(
            f"{wanted.name} exists and belongs to somebody else; remove it or rename the tenant",
            resource=wanted.name,
            execution=wanted.execution_id,
        )
    return (found.order, found.spec_hash) == (wanted.order, wanted.spec_hash)


def owned(found: Iterable[Resource | None], installation_id: str, tenant_id: UUID | None) -> list[Resource]:
    """Of all resources that a platform shows: those of that owner, or of that tenant of it. None stands for a resource
    that is not ours."""
    return [
        resource
        for resource in found
        if resource is not None
        and resource.origin.installation_id == installation_id
        and tenant_id in (None, resource.origin.tenant_id)
    ]
