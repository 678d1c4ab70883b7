"""The rows of an execution, as its runners see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.errors import WaitsFor
from controlplane.model import (
    CURRENT,
    Execution,
    Node,
    Observed,
    Placement,
    Step,
    StepName,
    Tenant,
)
from controlplane.ports.compute import Origin


@dataclass(frozen=True, slots=True)
class RunContext:
    """The rows of an execution that a runner reads, at one moment."""

    installation_id: str
    """Installation id."""
    tenant: Tenant
    execution: Execution
    previous: Execution | None
    """The execution that serves the tenant, if it is another one."""
    steps: tuple[Step, ...]
    placements: tuple[Placement, ...]
    """The tenant's placements that are not removed, in (generation, run) order."""
    nodes: tuple[Node, ...] = ()
    """The machines of all clusters, the dead ones too."""

    @property
    def current(self) -> bool:
        """The gate at the moment when the rows were read."""
        return self.execution.state in CURRENT

    @property
    def serving(self) -> bool:
        return self.tenant.serving_execution == self.execution.id

    @property
    def maker(self) -> Execution:
        """The execution whose resource this one is about: its own, or the one that it restarts."""
        return self.previous if self.execution.in_place and self.previous is not None else self.execution

    @property
    def origin(self) -> Origin:
        """The labels of the resource that this execution is about."""
        return Origin(
            installation_id=self.installation_id,
            tenant_name=self.tenant.name,
            tenant_id=self.tenant.id,
            generation=self.maker.generation,
            run=self.maker.run,
            execution_id=self.maker.id,
            spec_hash=self.maker.spec.hash,
        )


class ExecutionStore(Protocol):
    """Rows of one execution for its runners. Runners have no fence, so the execution's own state guards each write."""

    async def context(self, execution_id: str) -> RunContext:
        """Raises Terminal if there is no such execution."""
        ...

    async def current(self, execution_id: str) -> bool:
        """The gate: True while the execution's row is starting or running."""
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
        """Record the immutable id after the effect, whatever the execution's state. If the placement was closed in
        between, do nothing: its resource is gone then."""
        ...

    async def removed(self, execution_id: str) -> None:
        """The placement's resource is gone."""
        ...

    async def abandoned(self, execution_id: str) -> None:
        """The placement's resource is on a machine that is lost for good."""
        ...

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        """Move `serving_execution` to this execution, with its `observed`; one that restarts in place only writes
        `observed`. False: no longer current. Idempotent."""
        ...

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        """Record an attempt's intent. None: no longer current. An attempt whose owner died, or which waits for
        something outside, is not counted again. Raises Terminal if the execution's action has no such step."""
        ...

    async def step_in_call(
        self, execution_id: str, step: StepName, in_call_to: str | None, since: datetime | None
    ) -> None:
        """The present attempt takes long: the platforms whose answer it waits for, and since when. The next attempt and
        the end of the step clear it; so does None, if the step goes on. If the step does not run, do nothing."""
        ...

    async def step_succeeded(self, execution_id: str, step: StepName) -> None: ...

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        """Record a failed attempt. `next_attempt_at` None: the step is not tried again."""
        ...

    async def step_waits(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime, waits_for: WaitsFor
    ) -> None:
        """Record that this attempt found something missing outside the tenant's own spec. The next one has the same
        number."""
        ...

    async def activated(self, execution_id: str) -> int:
        """Count the starts by new owners since the last step that succeeded, including this one."""
        ...
