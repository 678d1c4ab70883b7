"""Store and platform of the real code in the model: each call is handed out (`Op`), and its answer taken in."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol
from uuid import UUID

from controlplane.errors import Retryable, Unavailable, WaitsFor
from controlplane.model import (
    STEPS,
    Execution,
    ExecutionState,
    HealthSpec,
    Observed,
    Placement,
    PlacementState,
    Status,
    Step,
    StepName,
    StepState,
    Tenant,
)
from controlplane.ports import DesiredResource, Origin, ProbeResult, Resource, ResourceState, RunContext
from providers.kit.gated import adoptable, apply_gated
from tests.model.rules import Rule
from tests.model.world import LIVES, NAME, OWNER
from tests.unit import builders

NOW = builders.NOW
ENGINE_IDENTITY = "cloud"

Op = tuple[Any, ...]
"""A call of the store or the platform: its name, then plain arguments."""

HEALTH = HealthSpec(healthy_threshold=1, unhealthy_threshold=1, min_healthy_seconds=0)
"""What clients ask for."""

READABLE, UNREADABLE, MISREAD = "readable", "unreadable", "misread"
"""How a spec is read: as it is; by the older release, which sees that it cannot read a part; without that rule."""

UNAVAILABLE = "the platform does not answer"
PORT_TAKEN = "the port is taken"
"""Answers that are raised."""


class Known(Protocol):
    """What the stubs know of executions, by id."""

    rules: frozenset[Rule]
    exclusive: bool

    def execution(self, id: str) -> Execution: ...

    def origin(self, id: str) -> Origin: ...

    def name(self, id: str) -> str: ...


class _Ask:
    """A call that the model answers."""

    def __init__(self, *op: Any) -> None:
        self._op = op

    def __await__(self) -> Generator[Op, Any, Any]:
        answer = yield self._op
        if answer == UNAVAILABLE:
            raise Unavailable(UNAVAILABLE)
        if answer == PORT_TAKEN:
            raise Retryable(PORT_TAKEN)
        return answer


class Store:
    """`ports.ExecutionStore` whose rows are the model's."""

    def __init__(self, known: Known) -> None:
        self._known = known

    async def context(self, execution_id: str) -> RunContext:
        state, serving, previous, placements, retried, done, spec = await _Ask("context", execution_id)
        known = self._known
        mine = read_by_older(known.execution(execution_id), spec)
        return RunContext(
            installation_id=OWNER,
            tenant=_tenant(mine, execution_id if serving else previous),
            execution=_with_state(mine, state),
            previous=known.execution(previous) if previous is not None else None,
            steps=_steps(mine, done, retried),
            placements=_WITHHELD if placements is None else tuple(placement(known, *row) for row in placements),
        )

    async def current(self, execution_id: str) -> bool:
        return await _Ask("gate", execution_id)  # type: ignore[no-any-return]

    async def providers_used(self, execution_id: str) -> list[str]:
        return ["fake"]

    async def removable(self, execution_id: str) -> bool:
        return await _Ask("removable", execution_id)  # type: ignore[no-any-return]

    async def intend(self, context: RunContext, provider: str, platform_identity: str, name: str) -> bool:
        return await _Ask("intend", context.execution.id)  # type: ignore[no-any-return]

    async def placed(self, execution_id: str, resource_id: str) -> None:
        await _Ask("placed", execution_id, resource_id)

    async def removed(self, execution_id: str) -> None:
        await _Ask("removed", execution_id)

    async def abandoned(self, execution_id: str) -> None:
        raise AssertionError("there is one machine in the model")

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        return await _Ask("switch", execution_id)  # type: ignore[no-any-return]

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        attempts = await _Ask("step_started", execution_id)
        if attempts is None:
            return None
        return Step(execution_id, step, StepState.RUNNING, attempts=attempts, started_at=NOW)

    async def step_in_call(
        self, execution_id: str, step: StepName, in_call_to: str | None, since: datetime | None
    ) -> None:
        """For people only."""

    async def step_succeeded(self, execution_id: str, step: StepName) -> None:
        await _Ask("step_succeeded", execution_id)

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        await _Ask("step_failed", execution_id)

    async def step_waits(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime, waits_for: WaitsFor
    ) -> None:
        await _Ask("step_waits", execution_id)


def read_by_older(execution: Execution, how: str) -> Execution:
    """With the default in the place of the probe that only the newer release knows, unless it is readable."""
    if how == READABLE:
        return execution
    # No time passes here, so nothing lasts.
    spec = execution.spec.model_copy(update={"health": HealthSpec(min_healthy_seconds=0)})
    spec._more = {"health": execution.spec.health.model_dump(mode="json")}
    spec._unreadable = ("health",) if how == UNREADABLE else ()
    return replace(execution, spec=spec)


class _Withheld(tuple[Placement, ...]):
    """Placements where the code does not look at them, so that the answer is the same whatever they are."""

    def __iter__(self) -> Iterator[Placement]:
        raise AssertionError("the code looks at placements now: `runners` must tell them")


_WITHHELD = _Withheld()


class Platform:
    """A compute provider: real `apply_gated` and `adoptable` over calls that the model answers."""

    name: ClassVar[str] = "fake"
    resource_kind: ClassVar[str] = "instance"
    one_node: ClassVar[bool] = False

    def __init__(self, known: Known, name: str) -> None:
        self._known = known
        self._name = name

    async def identity(self) -> str:
        return ENGINE_IDENTITY

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        """Everything is valid here."""

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        return self._known.exclusive and Rule.STEP_ASIDE in self._known.rules

    async def apply(self, desired: DesiredResource, gate: Any) -> Resource:
        return await apply_gated(self, desired, gate)

    async def observe(self, origin: Origin) -> Resource | None:
        found = await _Ask("observe", origin.execution_id)
        if found is None or not adoptable(self._known.origin(found[1]).labels(), origin):
            return None
        return self._resource(found)

    async def create(self, desired: DesiredResource) -> str | None:
        return await _Ask("create", desired.origin.execution_id)  # type: ignore[no-any-return]

    async def inspect(self, resource_id: str) -> Resource | None:
        found = await _Ask("inspect", resource_id)
        return None if found is None else self._resource(found)

    async def list_owned(self, owner: str, tenant_id: UUID | None = None) -> list[Resource]:
        life = LIVES.index(tenant_id) if tenant_id is not None else None
        return [self._resource(found) for found in await _Ask("list", self._name, life)]

    async def start(self, resource_id: str) -> None:
        await _Ask("start", resource_id)

    async def stop(self, resource_id: str) -> None:
        await _Ask("stop", resource_id)

    async def destroy(self, resource_id: str) -> None:
        await _Ask("destroy", resource_id)

    def _resource(self, found: tuple[str, str, ResourceState]) -> Resource:
        id, execution, state = found
        return Resource(id, self._known.name(execution), self._known.origin(execution), state)


class StandingClock:
    """Stands still, but for a probe that was answered with `never`: then the deadline is over."""

    def __init__(self) -> None:
        self.late = False

    def now(self) -> datetime:
        return NOW + timedelta(days=1) if self.late else NOW

    async def sleep(self, seconds: float) -> None:
        """No time passes."""

    def bound(self, seconds: float | None, error: Exception) -> nullcontext[None]:
        return nullcontext()


class Prober:
    def __init__(self, clock: StandingClock) -> None:
        self._clock = clock

    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        answer = await _Ask("probe", resource.id, health == HEALTH)
        self._clock.late = answer == "never"
        return ProbeResult(healthy=answer == "healthy", detail=answer)


def _tenant(of: Execution, serving: str | None) -> Tenant:
    return builders.tenant(
        Status.UPDATING,
        generation=of.generation,
        id=of.tenant_id,
        name=NAME,
        spec=of.spec,
        newest_execution=of.id,
        serving_execution=serving,
    )


def _with_state(execution: Execution, current: bool) -> Execution:
    return replace(execution, state=ExecutionState.RUNNING if current else ExecutionState.STOPPING)


def _steps(of: Execution, done: int, retried: bool) -> tuple[Step, ...]:
    """Those begun, as far as the code looks at them."""
    names = [step for step in STEPS[of.action] if step is not StepName.PLAN]
    ended = [Step(of.id, name, StepState.SUCCEEDED, attempts=1, started_at=NOW) for name in names[:done]]
    on = [Step(of.id, name, StepState.RUNNING, 2 if retried else 1, started_at=NOW) for name in names[done : done + 1]]
    return (*ended, *on)


def placement(known: Known, id: str, resource: str | None) -> Placement:
    made = known.execution(id)
    return Placement(
        execution_id=id,
        tenant_id=made.tenant_id,
        platform=made.spec.compute.provider,
        platform_identity=ENGINE_IDENTITY,
        generation=made.generation,
        run=made.run,
        name=known.name(id),
        resource_id=resource,
        state=PlacementState.PLACED if resource else PlacementState.INTENDED,
        created_at=NOW,
    )
