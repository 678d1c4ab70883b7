"""A compute platform, and its view of a resource."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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
from controlplane.text import DETAIL, clean


class ExecutionGate(Protocol):
    """Ask it before and after every side effect of one execution."""

    async def current(self) -> bool:
        """True while the execution's row is starting or running. Reads the database each time; never cached."""
        ...

    async def make_way(self) -> bool:
        """Call right before starting. Stops a predecessor that cannot run alongside. Returns True if it stopped
        something; check `current` again then. Raises the errors of the provider's `stop`."""
        ...


PlatformHealth = Literal["healthy", "unhealthy", "starting", "recovering"]
"""A platform's own verdict on a resource. `recovering`: it was up, a part of it ended, and the platform is restoring
that part by itself: it is not healthy, and a heal would mend nothing."""

OWNER_LABEL = "landlord.owner"
TENANT_LABEL = "landlord.tenant"
TENANT_ID_LABEL = "landlord.tenant-id"
GENERATION_LABEL = "landlord.generation"
RUN_LABEL = "landlord.run"
EXECUTION_LABEL = "landlord.execution"
SPEC_HASH_LABEL = "landlord.spec-hash"


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a resource: installation, tenant and execution. Each resource carries it as labels from its
    creation.

    A resource with the label of an owner belongs to that owner. If a field has no valid label, it is the empty value of
    its type (`""`, 0, the nil UUID), which no tenant and no execution has.
    """

    installation_id: str
    tenant_name: str
    tenant_id: UUID
    generation: int
    run: int
    execution_id: str
    spec_hash: str

    @property
    def name(self) -> str:
        """The resource's name. It is never used twice."""
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
        """Reads the labels, however few there are. None: there is no label of an owner."""
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
    """The resource that an execution wants: its labels, the provider's config, and how to check its health."""

    origin: Origin
    config: Mapping[str, Any] = field(repr=False)
    health: HealthSpec
    fresh: bool = False
    """Take its image from the registry again, if the provider has images."""


class ResourceState(StrEnum):
    CREATED = "created"
    """The resource exists and was never started."""
    STARTING = "starting"
    """The platform is still bringing it up."""
    RUNNING = "running"
    STOPPED = "stopped"
    """The resource ran and does not run now: it exited, was stopped or was killed."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as a provider observed it. `id` is the platform's immutable one: stop, start and destroy address it,
    not the name."""

    id: str
    name: str
    origin: Origin
    state: ResourceState
    endpoints: tuple[Endpoint, ...] = ()
    platform_health: PlatformHealth | None = None
    """The platform's own verdict (Docker HEALTHCHECK, ECS rollout). None if it gives none."""
    checked: bool = False
    """That verdict comes from a probe of the tenant (a HEALTHCHECK), not only from the fact that it runs."""
    launch: str = ""
    """Differs from one start of the resource to the next, whoever starts it (a start time, a pid). So a resource that
    its platform starts again and again is told from one that lasts. Empty: the platform does not say."""
    detail: str = ""
    """Tells a person why the resource does not run: exit code, last line of its log, stop reason."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clean(self.detail, DETAIL))


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a diff for a person: `path` in the config, its value before and after."""

    path: str
    before: Any = field(repr=False)
    after: Any = field(repr=False)


class ComputeProvider(Protocol):
    """A compute platform.

    All coroutines; blocking SDK calls go to a thread and are bounded by the SDK's own time-out. Errors are `Retryable`
    or `Terminal` with a message that names the image, port or host. On stop and destroy, a missing resource is success.
    """

    name: ClassVar[str]
    config_model: ClassVar[type[BaseModel]]
    resource_kind: ClassVar[str]
    """The kind of resource it makes, as a key of `observed.resources`: container, process, service."""
    one_node: ClassVar[bool]
    """True if the resources live on this very machine (process, docker on a local socket)."""

    async def identity(self) -> str:
        """Identifies the platform (Docker `info.ID`, machine id, account and region). Cached once known.

        Raises Unavailable."""
        ...

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        """Check a config. No I/O: the API calls it in a request.

        Raises InvalidConfig if the config can never work. Raises Unsupported if the config is valid but this provider
        cannot do it (`health.exec` without RunsExecProbes). Both carry `errors`.
        """
        ...

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        """The difference between two configs, defaults filled in. No I/O."""
        ...

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """True if resources of these two configs cannot run side by side (one fixed host port, a volume that both write
        …). Then the predecessor is stopped before this one starts. If this one fails, the predecessor is started
        again."""
        ...

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        """Make the resource exist and run.

        Observe first: if a resource is equal in (owner, tenant id, generation, run, spec hash), adopt it, and start it
        if it does not run. Ask `gate.current()` before and after each effect (create, start), and `gate.make_way()`
        before the start.

        Raises NotCurrent (with `made`, the id of the resource that this call created), NameConflict, Retryable,
        Terminal."""
        ...

    async def observe(self, origin: Origin) -> Resource | None:
        """The resource of that name if it exists and its labels are equal to `ownership`, else None.

        Raises NameConflict if the name belongs to somebody else, and Unavailable."""
        ...

    async def inspect(self, resource_id: str) -> Resource | None:
        """The resource with this immutable id. None if it does not exist. Raises Unavailable."""
        ...

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        """Every resource with our owner label: a complete list, or an error. Raises Unavailable."""
        ...

    async def start(self, resource_id: str) -> None:
        """Start a stopped resource again. Raises Retryable, Terminal."""
        ...

    async def stop(self, resource_id: str) -> None:
        """Stop the resource, first gracefully, then by force. Keep it."""
        ...

    async def destroy(self, resource_id: str) -> None:
        """Stop the resource and remove it with everything that belongs to it."""
        ...

    async def health(self) -> ProviderHealth: ...

    async def close(self) -> None: ...


@runtime_checkable
class ProvidesLogs(Protocol):
    """Capability: the text of a resource's stdout and stderr."""

    async def logs(self, resource_id: str, tail: int) -> str: ...


@dataclass(frozen=True, slots=True)
class LogPart:
    """Text of a resource's output, and the position where it ends: letters, digits, `.`, `-`; at most 64."""

    text: str
    position: str


@runtime_checkable
class FollowsLogs(ProvidesLogs, Protocol):
    """Capability: the output can be followed, from one look to the next. Nothing stays open in between."""

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:
        """What the resource wrote after a position that an earlier call returned; None, or one that says nothing here:
        the last `tail` lines. It may end within a line. If more came than the platform keeps, or than one answer may
        hold, the oldest of it is left out. Of a resource that does not exist: nothing, and the same position."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was run beside a tenant's own. `exit_code` None: it had not ended in time, and may still run."""

    exit_code: int | None
    output: str = field(repr=False)
    """Stdout and stderr as they came."""
    cut: bool = False
    """There was more, which is left out at the end."""


@runtime_checkable
class RunsCommands(Protocol):
    """Capability: run a command within a resource, as its own account, with its environment and its limits."""

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        """Returns once it has ended, or after `seconds`. It may run twice only if it is asked for twice. A command that
        does not exist there ends with 126 or 127. Raises Retryable, Terminal if it could not be run."""
        ...


@runtime_checkable
class Restarts(Protocol):
    """Capability: the platform restarts a resource by itself, better than by a stop and a start (one task after the
    other, say)."""

    async def restart(self, resource_id: str) -> None:
        """Have what runs in the resource start anew. The resource, its id and its labels stay. Returns once that is
        under way; `platform_health` says when it is done. If the resource is stopped, it is started.

        Raises Retryable, Terminal."""
        ...


@runtime_checkable
class RunsExecProbes(Protocol):
    """Capability: `health.exec`. The platform runs the command itself, next to the tenant, as often as `health` says;
    `platform_health` is the result. If a provider lacks this capability, its `validate` refuses `health.exec`."""

    exec_probe: ClassVar[Literal[True]]


@runtime_checkable
class ReachesHost(Protocol):
    """Capability: some configs reach beyond the tenant's own compute (the machine, the account). If a setting allows
    them at all, only an admin may ask for them, in a new tenant and in any later change of it."""

    def host_access(self, config: Mapping[str, Any]) -> Sequence[str]:
        """The places in a valid config (`privileged`, `volumes.0.source`) that reach so far. No I/O."""
        ...


@runtime_checkable
class HoldsData(Protocol):
    """Capability: some configs keep data on the machine that runs them. A drain moves no such tenant."""

    def holds_data(self, config: Mapping[str, Any]) -> bool:
        """Whether a valid config does. No I/O."""
        ...


@runtime_checkable
class KeepsBelongings(Protocol):
    """Capability: a tenant has belongings that outlive its resources (named volumes, a network)."""

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        """Remove all belongings of the tenant. Called once the tenant's last resource is gone for good. If there are
        none, that is success.

        Raises Retryable while a resource of the tenant still uses them; HeldByOthers if everything is gone but what
        somebody else uses: then the delete goes on, and the sweep tries again."""
        ...


@runtime_checkable
class ListsBelongings(KeepsBelongings, Protocol):
    """Capability: list the tenants that still have volumes or networks, in a call or two. The sweep uses it to find
    leftovers of a step that outlived its tenant's deletion and died before creating a resource."""

    async def tenants_with_belongings(self, installation_id: str) -> Collection[UUID]:
        """Ids of the owner's tenants that have belongings: a complete list, or an error. Raises Unavailable."""
        ...


class Prober(Protocol):
    """One probe of a resource's health. `healthy` None: cannot tell yet (the platform says that it is starting)."""

    async def probe(self, resource: Resource, health: HealthSpec) -> "ProbeResult": ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    healthy: bool | None
    detail: str = ""
    """The question and the answer of the probe, with host and port."""
    recovering: bool = False
    """Not healthy, and its platform mends that by itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clean(self.detail, DETAIL))
