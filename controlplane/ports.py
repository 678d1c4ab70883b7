"""The seams: what the rules need from compute platforms, workflow engines, the store and the live actors.

Providers implement `ComputeProvider` and `WorkflowProvider`; `persistence` implements `ExecutionStore`; `actors`
implements `TenantDirectory` and `StepRunner`. Every verb is idempotent: observe, then act.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from pydantic import BaseModel

from controlplane.model import (
    Action,
    Endpoint,
    Execution,
    HealthSpec,
    Observed,
    Placement,
    Step,
    StepName,
    SubState,
    Tenant,
    TriggerSource,
    resource_name,
)
from controlplane.settings import Settings


class Clock(Protocol):
    """Time and waiting, injected so that no test sleeps for real."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


# --- compute ---------------------------------------------------------------------------------------------------------


class ExecutionGate(Protocol):
    """Asked before and after every side effect of one execution."""

    async def current(self) -> bool:
        """True while the execution's row is starting or running. Reads the database each time; never cached."""
        ...


@dataclass(frozen=True, slots=True)
class Ownership:
    """The labels every resource of ours carries from its creation. `owner` is the installation id."""

    owner: str
    tenant: str
    tenant_id: UUID
    generation: int
    run: int
    execution: str
    spec_hash: str

    @property
    def name(self) -> str:
        """The resource's name: never used twice."""
        return resource_name(self.tenant, self.tenant_id, self.generation, self.run)

    @property
    def order(self) -> tuple[int, int]:
        return self.generation, self.run

    def labels(self, prefix: str = "landlord.") -> dict[str, str]:
        """`landlord.owner`, `.tenant`, `.tenant-id`, `.generation`, `.run`, `.execution`, `.spec-hash`."""
        return {
            f"{prefix}owner": self.owner,
            f"{prefix}tenant": self.tenant,
            f"{prefix}tenant-id": str(self.tenant_id),
            f"{prefix}generation": str(self.generation),
            f"{prefix}run": str(self.run),
            f"{prefix}execution": self.execution,
            f"{prefix}spec-hash": self.spec_hash,
        }

    @classmethod
    def from_labels(cls, labels: Mapping[str, str], prefix: str = "landlord.") -> "Ownership | None":
        """What the labels say, or None where they are not (or not all, or not validly) ours."""
        try:
            return cls(
                owner=labels[f"{prefix}owner"],
                tenant=labels[f"{prefix}tenant"],
                tenant_id=UUID(labels[f"{prefix}tenant-id"]),
                generation=int(labels[f"{prefix}generation"]),
                run=int(labels[f"{prefix}run"]),
                execution=labels[f"{prefix}execution"],
                spec_hash=labels[f"{prefix}spec-hash"],
            )
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """What an execution wants to exist: whose it is, the provider's config, and how its health is told."""

    ownership: Ownership
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
    ownership: Ownership
    state: ResourceState
    endpoints: tuple[Endpoint, ...] = ()
    platform_health: Literal["healthy", "unhealthy", "starting"] | None = None
    """The platform's own verdict (Docker HEALTHCHECK, ECS rollout); None where it has none."""
    detail: str = ""
    """For a person, when it does not run: exit code, last line of its log, stop reason."""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    healthy: bool
    detail: str = ""


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
        """Which engine this is (Docker `info.ID`, machine id, account + cluster). Cached once known.

        Raises EngineUnavailable."""
        ...

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        """Raises InvalidConfig (with `errors`) for what can never work. No I/O: the API calls it in a request."""
        ...

    def plan(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        """The difference between two configs, defaults filled in. No I/O."""
        ...

    def exclusive(self, config: Mapping[str, Any]) -> bool:
        """True where two generations cannot run side by side (a fixed host port, a shared volume …): the steps then
        stop the predecessor before this one starts, and start it again should this one fail."""
        ...

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        """Make it exist and run. Observe first: equal (owner, tenant id, generation, run, spec hash) is adopted and
        started where it does not run. `gate.current()` is asked before and after each effect (create, start).

        Raises NotCurrent (with `made`, the id of what this call created), NameConflict, Retryable, Terminal."""
        ...

    async def observe(self, ownership: Ownership) -> Resource | None:
        """The resource of that name, if it is there and its labels are equal to `ownership`, else None.

        Raises NameConflict where the name belongs to somebody else, EngineUnavailable."""
        ...

    async def inspect(self, resource_id: str) -> Resource | None:
        """By immutable id; None where it does not exist. Raises EngineUnavailable."""
        ...

    async def list_owned(self, owner: str, tenant_id: UUID | None = None) -> list[Resource]:
        """Everything that bears our owner label, complete or an error. Raises EngineUnavailable."""
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
class KeepsBelongings(Protocol):
    """Capability: what is the tenant's own and outlives its resources (named volumes, a network)."""

    async def forget(self, owner: str, tenant_id: UUID) -> None:
        """Remove it all; called once the tenant's last resource is gone for good. Nothing there is success.

        Raises Retryable while something still uses it."""
        ...


class Prober(Protocol):
    """One look at a resource's health. `healthy` None: cannot tell yet (the platform says it is starting)."""

    async def probe(self, resource: Resource, health: HealthSpec) -> "ProbeResult": ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    healthy: bool | None
    detail: str = ""
    """What was asked and what came back, naming host and port."""


# --- workflow engines ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecutionInput:
    """The small canonical input of an engine: no spec, so no secret in any engine's history."""

    execution_id: str
    tenant_id: UUID
    tenant: str
    action: Action
    generation: int
    run: int
    trigger_source: TriggerSource

    def to_json(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "tenant_id": str(self.tenant_id),
            "tenant": self.tenant,
            "action": self.action.value,
            "generation": self.generation,
            "run": self.run,
            "trigger_source": self.trigger_source.value,
        }

    @classmethod
    def of(cls, execution: Execution) -> "ExecutionInput":
        return cls(
            execution_id=execution.id,
            tenant_id=execution.tenant_id,
            tenant=execution.tenant_name,
            action=execution.action,
            generation=execution.generation,
            run=execution.run,
            trigger_source=execution.trigger_source,
        )


@dataclass(frozen=True, slots=True)
class Started:
    """Answer of `start`. `already`: the engine knew this id. `ref`: the engine's own handle, kept on the row."""

    already: bool
    ref: str


@dataclass(frozen=True, slots=True)
class ExecutionStatus:
    """What an engine says of an execution, in canonical words. `unknown`: the engine has never heard of it, or has
    forgotten it."""

    sub_state: SubState
    retry_count: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    step: StepName | None = None
    """Where it is, where the engine tells."""


class WorkflowProvider(Protocol):
    """A workflow engine: runs the steps of an execution durably, exactly once per execution id."""

    name: ClassVar[str]

    async def setup(self) -> None:
        """Register what the engine must know. Idempotent; repeated at start and after the engine came back."""
        ...

    async def start(self, order: ExecutionInput) -> Started:
        """Start it, or say that it was started before. Idempotent by execution id, also concurrently.

        Raises Retryable (the engine is down: it may or may not have started) or Terminal (it refused)."""
        ...

    async def status(self, execution_id: str, ref: str | None) -> ExecutionStatus: ...

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        """Returns once the status differs from `after`, or after this engine's poll interval."""
        ...

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        """Ask it to stop; `kill`: at once. Unknown or ended is success."""
        ...

    async def history(self, execution_id: str, ref: str | None) -> list[dict[str, Any]]: ...

    async def health(self) -> ProviderHealth: ...

    async def close(self) -> None: ...


class StepRunner(Protocol):
    """Runs one step where it should run and be seen (an actor's named call of itself); injected into `embedded`."""

    async def __call__(self, order: ExecutionInput, step: StepName) -> None:
        """Returns when the step is done. Raises what the step raised: NotCurrent, Retryable, Terminal."""
        ...


# --- the store, as runners see it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a runner reads of its execution: rows, at this moment."""

    owner: str
    """Installation id."""
    tenant: Tenant
    execution: Execution
    previous: Execution | None
    """The execution that serves the tenant, where that is another one."""
    steps: tuple[Step, ...]
    placements: tuple[Placement, ...]
    """Of the tenant, those not removed, in (generation, run) order."""

    @property
    def current(self) -> bool:
        return self.execution.state.active and self.execution.state != "stopping"

    @property
    def serving(self) -> bool:
        return self.tenant.serving_execution == self.execution.id

    @property
    def ownership(self) -> Ownership:
        """Whose a resource made by this execution is."""
        return Ownership(
            owner=self.owner,
            tenant=self.tenant.name,
            tenant_id=self.tenant.id,
            generation=self.execution.generation,
            run=self.execution.run,
            execution=self.execution.id,
            spec_hash=self.execution.spec.hash,
        )


class ExecutionStore(Protocol):
    """Rows of one execution for its runners, which have no fence: writes are guarded by the execution's own state."""

    async def context(self, execution_id: str) -> RunContext:
        """Raises Terminal where there is no such execution."""
        ...

    async def current(self, execution_id: str) -> bool:
        """The gate: its row is starting or running."""
        ...

    async def providers_used(self, execution_id: str) -> list[str]:
        """Compute providers that ever held a resource of the execution's tenant, removed ones included."""
        ...

    async def removable(self, execution_id: str) -> bool:
        """True once its resource may go: it is not serving, and its row is stopping or terminal. A stable fact."""
        ...

    async def intend(self, context: RunContext, provider: str, engine_identity: str, name: str) -> bool:
        """Record the placement before the effect. False: no longer current."""
        ...

    async def placed(self, execution_id: str, resource_id: str) -> None:
        """Record the immutable id after the effect, whatever the execution's state."""
        ...

    async def removed(self, execution_id: str) -> None:
        """The placement's resource is gone."""
        ...

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        """Move `serving_execution` to this one, with what it observed. False: no longer current. Idempotent."""
        ...

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        """Record an attempt's intent. None: no longer current (after the switch the row may be stopping, and
        retire_previous still goes on). An attempt whose owner died is not counted again."""
        ...

    async def step_succeeded(self, execution_id: str, step: StepName) -> None: ...

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        """`next_attempt_at` None: it is not tried again."""
        ...

    async def activated(self, execution_id: str) -> int:
        """Count a start by a new owner since the last step that succeeded, this one included."""
        ...


@dataclass(frozen=True, slots=True)
class WorkflowEnvironment:
    """What a workflow provider may be built from: each has a classmethod `build(environment)`, its entry point."""

    settings: Settings
    store: ExecutionStore
    run_step: StepRunner
    clock: Clock


# --- live actors, as the API sees them -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wake:
    """What a wake-up came to, within its time: `started`, `pending` (nobody answered in time, or another cluster owns
    it: the intent is durable and will be seen) or `refused` (the engine did not take it; `message` says why)."""

    outcome: Literal["started", "pending", "refused"]
    message: str = ""


class TenantDirectory(Protocol):
    """name → live actor. Activates where there is none. No message here is work: rows are."""

    async def wake(
        self, name: str, tenant_id: UUID, execution_id: str | None = None, *, timeout: float | None = None
    ) -> Wake:
        """Mark the tenant's actor dirty; with `execution_id` wait up to `timeout` seconds until that execution has
        left `queued`. Never raises for an actor that is missing, dying or slow: that is `pending`."""
        ...

    async def live(self) -> list[str]:
        """Names of the tenants whose actors live in this cluster. Raises EngineUnavailable."""
        ...

    async def ray_health(self) -> ProviderHealth:
        """Does the cluster answer?"""
        ...


@dataclass(frozen=True, slots=True)
class Providers:
    """The enabled providers by name. Built by the composition root from entry points."""

    compute: Mapping[str, ComputeProvider]
    workflow: Mapping[str, WorkflowProvider]
    default_workflow: str
