"""The rows of an execution, as its runners see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.model import (
    CURRENT,
    Execution,
    Observed,
    Placement,
    Step,
    StepName,
    Tenant,
)
from controlplane.ports.compute import Origin


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a runner reads of its execution: rows, at this moment."""

    installation_id: str
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
        """The gate, as of when the rows were read."""
        return self.execution.state in CURRENT

    @property
    def serving(self) -> bool:
        return self.tenant.serving_execution == self.execution.id

    @property
    def origin(self) -> Origin:
        """Whose a resource made by this execution is."""
        return Origin(
            installation_id=self.installation_id,
            tenant_name=self.tenant.name,
            tenant_id=self.tenant.id,
            generation=self.execution.generation,
            run=self.execution.run,
            execution_id=self.execution.id,
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

    async def intend(self, context: RunContext, provider: str, platform_identity: str, name: str) -> bool:
        """Record the placement before the effect. False: no longer current."""
        ...

    async def placed(self, execution_id: str, resource_id: str) -> None:
        """Record the immutable id after the effect, whatever the execution's state; nothing where the placement was
        closed meanwhile, since what this one made is gone then."""
        ...

    async def removed(self, execution_id: str) -> None:
        """The placement's resource is gone."""
        ...

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        """Move `serving_execution` to this one, with what it observed. False: no longer current. Idempotent."""
        ...

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        """Record an attempt's intent. None: no longer current. An attempt whose owner died is not counted again."""
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
