"""A compute platform, and what it shows of a resource."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from pydantic import BaseModel

from controlplane.model import (
    Endpoint,
    HealthSpec,
    resource_name,
)
from controlplane.ports.health import ProviderHealth


class ExecutionGate(Protocol):
    """Asked before and after every side effect of one execution."""

    async def current(self) -> bool:
        """True while the execution's row is starting or running. Reads the database each time; never cached."""
        ...

    async def make_way(self) -> bool:
        """Awaited before a start, so as late as can be: what cannot run beside the new one has stopped then. True: that
        took an effect, so `current` is to be asked again. Raises what the provider's `stop` raises."""
        ...


PlatformHealth = Literal["healthy", "unhealthy", "starting", "recovering"]
"""What a platform itself says of a resource. `recovering`: it was up, a part of it ended, and the platform is bringing
that back by itself: not healthy, and nothing that a heal would mend."""

OWNER_LABEL = "landlord.owner"
TENANT_LABEL = "landlord.tenant"
TENANT_ID_LABEL = "landlord.tenant-id"
GENERATION_LABEL = "landlord.generation"
RUN_LABEL = "landlord.run"
EXECUTION_LABEL = "landlord.execution"
SPEC_HASH_LABEL = "landlord.spec-hash"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a resource comes from: installation, tenant and execution. Each resource carries it as labels from its
    creation on. Whatever bears the label of an owner is that owner's: a field of which there is no valid label is the
    empty one of its type (`""`, 0, the nil UUID), which no tenant and no execution has."""

    installation_id: str
    tenant_name: str
    tenant_id: UUID
    generation: int
    run: int
    execution_id: str
    spec_hash: str

    @property
    def name(self) -> str:
        """The resource's name: never used twice."""
        return resource_name(self.tenant_name, self.tenant_id, self.generation, self.run)

    @property
    def order(self) -> tuple[int, int]:
        return self.generation, self.run

    def labels(self) -> dict[str, str]:
        """`landlord.owner`, `.tenant`, `.tenant-id`, `.generation`, `.run`, `.execution`, `.spec-hash`."""
        return {
            OWNER_LABEL: self.installation_id,
            TENANT_LABEL: self.tenant_name,
            TENANT_ID_LABEL: str(self.tenant_id),
            GENERATION_LABEL: str(self.generation),
            RUN_LABEL: str(self.run),
            EXECUTION_LABEL: self.execution_id,
            SPEC_HASH_LABEL: self.spec_hash,
        }

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> "Origin | None":
        """What the labels say, however few of them; None: no label of an owner."""
        owner = labels.get(OWNER_LABEL)
        if not owner:
            return None
        return cls(
            installation_id=owner,
            tenant_name=labels.get(TENANT_LABEL) or "",
            tenant_id=tenant_id_of(labels) or UUID(int=0),
            generation=_number(labels.get(GENERATION_LABEL)),
            run=_number(labels.get(RUN_LABEL)),
            execution_id=labels.get(EXECUTION_LABEL) or "",
            spec_hash=labels.get(SPEC_HASH_LABEL) or "",
        )


def tenant_id_of(labels: Mapping[str, str]) -> UUID | None:
    """None: no label of a tenant, or not a valid one."""
    try:
        return UUID(labels.get(TENANT_ID_LABEL) or "")
    except ValueError:
        return None


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """What an execution wants to exist: whose it is, the provider's config, and how its health is told."""

    origin: Origin
    config: Mapping[str, Any]
    health: HealthSpec


class ResourceState(StrEnum):
    CREATED = "created"
    """It exists and was never started."""
    STARTING = "starting"
    """The platform is still bringing it up."""
    RUNNING = "running"
    STOPPED = "stopped"
    """It ran and does not run now: it exited, was stopped or was killed."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a provider observed. `id` is the engine's immutable one: stop, start, destroy address it, not the name."""

    id: str
    name: str
    origin: Origin
    state: ResourceState
    endpoints: tuple[Endpoint, ...] = ()
    platform_health: PlatformHealth | None = None
    """The platform's own verdict (Docker HEALTHCHECK, ECS rollout); None where it has none."""
    detail: str = ""
    """For a person, when it does not run: exit code, last line of its log, stop reason."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan that a person can read: `path` of the config, its value before and after."""

    path: str
    before: Any
    after: Any


class ComputeProvider(Protocol):
    """A compute platform.

    All coroutines; blocking SDK calls go to a thread and are bounded by the SDK's own time-out. Errors are `Retryable`
    or `Terminal` with a message that names the image, port or host. Missing on stop and destroy is success.
    """

    name: ClassVar[str]
    config_model: ClassVar[type[BaseModel]]
    resource_kind: ClassVar[str]
    """What it makes, as a key of `observed.resources`: container, process, service."""
    one_node: ClassVar[bool]
    """True where the resources live on this very machine (process, docker on a local socket)."""

    async def identity(self) -> str:
        """Which engine this is (Docker `info.ID`, machine id, account and region). Cached once known.

        Raises Unavailable."""
        ...

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        """Raises, with `errors`, InvalidConfig for what can never work, and Unsupported where all that is wrong is that
        this provider cannot do it (`health.exec` without RunsExecProbes). No I/O: the API calls it in a request."""
        ...

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        """The difference between two configs, defaults filled in. No I/O."""
        ...

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """True where resources of these two configs cannot run side by side (one fixed host port, a volume that both
        write …): the predecessor is then stopped before this one starts, and started again should this one fail."""
        ...

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        """Make it exist and run. Observe first: equal (owner, tenant id, generation, run, spec hash) is adopted and
        started where it does not run. `gate.current()` is asked before and after each effect (create, start), and
        `gate.make_way()` before the start.

        Raises NotCurrent (with `made`, the id of what this call created), NameConflict, Retryable, Terminal."""
        ...

    async def observe(self, origin: Origin) -> Resource | None:
        """The resource of that name, if it is there and its labels are equal to `origin`, else None.

        Raises NameConflict where the name belongs to somebody else, Unavailable."""
        ...

    async def inspect(self, resource_id: str) -> Resource | None:
        """By immutable id; None where it does not exist. Raises Unavailable."""
        ...

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        """Everything that bears our owner label, complete or an error. Raises Unavailable."""
        ...

    async def start(self, resource_id: str) -> None:
        """Start again what was stopped. Raises Retryable, Terminal."""
        ...

    async def stop(self, resource_id: str) -> None:
        """Stop, gracefully then by force, and keep it."""
        ...

    async def destroy(self, resource_id: str) -> None:
        """Stop and remove it with all that belongs to it."""
        ...

    async def health(self) -> ProviderHealth: ...

    async def close(self) -> None: ...


@runtime_checkable
class ProvidesLogs(Protocol):
    """Capability: text of a resource's stdout and stderr."""

    async def logs(self, resource_id: str, tail: int) -> str: ...


@runtime_checkable
class RunsExecProbes(Protocol):
    """Capability: `health.exec`. The platform runs the command itself, beside the tenant, as often as `health` says;
    `platform_health` is what came of it. Where a provider has it not, its `validate` refuses `health.exec`."""

    exec_probe: ClassVar[Literal[True]]


@runtime_checkable
class KeepsBelongings(Protocol):
    """Capability: what is the tenant's own and outlives its resources (named volumes, a network)."""

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        """Remove it all; called once the tenant's last resource is gone for good. Nothing there is success.

        Raises Retryable while something still uses it."""
        ...


@runtime_checkable
class ListsBelongings(KeepsBelongings, Protocol):
    """Capability: whose belongings there are, in a call or two, so that the sweep finds what came after the tenant's
    end: of a step that slept over the delete and died before it had made its resource."""

    async def tenants_with_belongings(self, installation_id: str) -> Collection[UUID]:
        """Ids of that owner's tenants that have belongings, complete or an error. Raises Unavailable."""
        ...


class Prober(Protocol):
    """One look at a resource's health. `healthy` None: cannot tell yet (the platform says it is starting)."""

    async def probe(self, resource: Resource, health: HealthSpec) -> "ProbeResult": ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    healthy: bool | None
    detail: str = ""
    """What was asked and what came back, naming host and port."""
    recovering: bool = False
    """Not healthy, and its platform mends that by itself."""
