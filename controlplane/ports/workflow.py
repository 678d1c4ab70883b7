"""A workflow engine: runs the steps of an execution durably."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable
from uuid import UUID

from controlplane.model import (
    Action,
    Execution,
    StepName,
    SubState,
    TriggerSource,
)
from controlplane.ports.clock import Clock
from controlplane.ports.health import ProviderHealth
from controlplane.ports.store import ExecutionStore
from controlplane.settings import Settings
from controlplane.text import clean


@dataclass(frozen=True, slots=True)
class ExecutionInput:
    """The small canonical input of an engine. It holds no spec, so no secret enters an engine's history."""

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
    """The answer of `start`. `already`: the engine knew this id; the audit trail records it. `ref`: the engine's own
    handle, kept on the row."""

    already: bool
    ref: str


@dataclass(frozen=True, slots=True)
class ExecutionStatus:
    """An engine's report on an execution, in canonical words. `unknown`: the engine has never heard of the execution,
    or has forgotten it."""

    sub_state: SubState
    retry_count: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    step: StepName | None = None
    """The step in progress, if the engine reports it. A change of it is news for the follower: it tells the owner that
    the plan step is done."""

    def __post_init__(self) -> None:
        if self.error is not None:
            object.__setattr__(self, "error", clean(self.error))


class WorkflowProvider(Protocol):
    """A workflow engine: runs the steps of an execution durably, exactly once per execution id."""

    name: ClassVar[str]

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """JSON Schema 2020-12 of the engine's settings. A tenant sets nothing but the engine's name."""
        ...

    async def setup(self) -> None:
        """Register our workflow with the engine. Idempotent; repeated at start and after the engine came back."""
        ...

    async def start(self, request: ExecutionInput) -> Started:
        """Start the execution, or report that it was started before. Idempotent by execution id, also concurrently.

        Raises Retryable (the engine is down: the execution may or may not have started) or Terminal (the engine
        refused)."""
        ...

    async def status(self, execution_id: str, ref: str | None) -> ExecutionStatus: ...

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        """Returns once the status differs from `after`, or after this engine's poll interval."""
        ...

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        """Ask the execution to stop; `kill`: at once. An unknown or ended execution is success."""
        ...

    async def health(self) -> ProviderHealth: ...

    async def close(self) -> None: ...


@runtime_checkable
class RunsInOwner(Protocol):
    """Capability: the engine works in the owner's own process and ends with it, so there is nothing to kill."""

    def forget(self, execution_id: str) -> None:
        """Drop the execution from memory: its row is terminal."""
        ...


@runtime_checkable
class CallsOneCluster(Protocol):
    """Capability: the engine calls our steps at one address, that of the cluster that registered last."""

    async def calls_us(self) -> bool:
        """Whether new executions come to the address that `setup` of this process registered last. Raises
        Unavailable."""
        ...


class StepSignals(Protocol):
    """Between a running step and the engine that runs it."""

    async def wait(self, seconds: float) -> None:
        """Sleep. Raises NotCurrent, at once, when the execution is asked to stop."""
        ...

    def failing(self, detail: str | None) -> None:
        """The probe fails after its start period (`detail` says how), or no longer fails (None)."""
        ...


class StepRunner(Protocol):
    """Runs one step visibly: as a named call of an actor to itself. Given to engines that run in the owner."""

    async def __call__(self, request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        """Returns when the step is done. Raises the step's errors: NotCurrent, Retryable, Terminal."""
        ...


@dataclass(frozen=True, slots=True)
class WorkflowEnvironment:
    """The parts from which a workflow provider is built. Each provider has a classmethod `build(environment)`, its
    entry point."""

    settings: Settings
    store: ExecutionStore
    run_step: StepRunner | None
    """None: this process owns no tenant, so an engine that runs in the owner starts nothing in it."""
    clock: Clock
