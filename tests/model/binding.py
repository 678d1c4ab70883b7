"""Where the model runs the real code: `Steps`, `apply_gated` and `Attempts`, one store or platform call at a time.

A coroutine's state cannot be copied, but it is a function of the answers that it was given. So a position in the code
is (execution, what it runs, the answers so far); it is replayed once, and then remembered with the call that comes
next. Store and platform here are stubs that hand each call out (`Op`) and take the answer in.
"""

from collections.abc import Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from controlplane.attempts import Attempts, Outcome, Verdict
from controlplane.errors import EngineUnavailable, LandlordError, Retryable
from controlplane.failpoints import Failpoints
from controlplane.model import (
    STEPS,
    Action,
    ComputeSpec,
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
    TenantSpec,
    TriggerSource,
    resource_name,
)
from controlplane.ports import DesiredResource, Ownership, ProbeResult, Resource, ResourceState, RunContext
from controlplane.steps import Probes, Steps
from providers.compute.gated import adoptable, apply_gated
from tests.model.rules import Rule
from tests.model.world import LIVES, NAME, OWNER, id_of

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ENGINE_IDENTITY = "cloud"

Op = tuple[Any, ...]
"""A call of the store or the platform: its name, then plain arguments."""

UNAVAILABLE = "the platform does not answer"
PORT_TAKEN = "the port is taken"
"""Answers that are raised."""

CHORES = ("clean", "restore")
EFFECTS = ("create", "start", "stop", "destroy")


def work_of(action: Action, done: int) -> str:
    """The first unfinished step; without `plan`, which has no effect."""
    steps = [step for step in STEPS[action] if step is not StepName.PLAN]
    return steps[done] if done < len(steps) else f"{REPORT} {Verdict.DONE}"


REPORT = "report"
"""With a verdict: the work of a runner that has ended and whose engine has not heard yet."""


@dataclass(frozen=True)
class Position:
    """Where a runner is. `op`: the call it makes next; None: it has ended with `verdict`."""

    execution: str
    work: str
    answers: tuple[Any, ...]
    op: Op | None
    verdict: Verdict | None = None
    effect_before: bool = False
    """Since it last asked the gate, it has had an effect."""


class Binding:
    """Positions of one case, numbered. `exclusive`: two generations cannot run side by side."""

    def __init__(self, rules: frozenset[Rule], providers: Mapping[int, str], *, exclusive: bool) -> None:
        self.rules = rules
        self.exclusive = exclusive
        self._providers = providers
        self._executions: dict[str, Execution] = {}
        self._positions: list[Position] = []
        self._numbers: dict[tuple[str, str, tuple[Any, ...]], int] = {}

    # --- executions as values of the real model ---

    def execution(self, id: str) -> Execution:
        return self._executions[id]

    def learn(self, life: int, action: Action, generation: int, run: int) -> str:
        """Its id; from now on the binding knows it."""
        id = id_of(life, action, generation, run)
        if id not in self._executions:
            spec = TenantSpec(
                compute=ComputeSpec(
                    provider=self.provider_of(generation), config={"version": generation if action != "delete" else 0}
                ),
                health=HealthSpec(healthy_threshold=1, unhealthy_threshold=1),
            )
            self._executions[id] = Execution(
                id=id,
                tenant_id=LIVES[life],
                tenant_name=NAME,
                action=action,
                generation=generation,
                run=run,
                state=ExecutionState.QUEUED,
                sub_state=None,
                provider="engine",
                provider_ref=None,
                spec=spec,
                trigger_source=TriggerSource.API,
                retry_count=0,
                error=None,
                created_at=NOW,
                started_at=NOW,
            )
        return id

    def provider_of(self, generation: int) -> str:
        """Where resources of that generation are made: a PATCH may move them."""
        return self._providers.get(generation, "fake")

    def ownership(self, id: str) -> Ownership:
        made = self.execution(id)
        return Ownership(OWNER, NAME, made.tenant_id, made.generation, made.run, id, made.spec.hash)

    def name(self, id: str) -> str:
        """The name of the resource that this execution makes."""
        made = self.execution(id)
        tenant_id = made.tenant_id if Rule.TENANT_IN_NAMES in self.rules else LIVES[0]
        return resource_name(NAME, tenant_id, made.generation, made.run if Rule.RUN_IN_NAMES in self.rules else 1)

    # --- positions ---

    def begin(self, execution: str, work: str) -> int:
        return self._number(execution, work, ())

    def at(self, number: int) -> Position:
        return self._positions[number]

    def answered(self, number: int, answer: Any) -> int:
        """Where it is once its call was answered."""
        position = self._positions[number]
        return self._number(position.execution, position.work, (*position.answers, answer))

    def _number(self, execution: str, work: str, answers: tuple[Any, ...]) -> int:
        key = (execution, work, answers)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._positions)
            self._positions.append(self._replay(execution, work, answers))
        return number

    def _replay(self, execution: str, work: str, answers: tuple[Any, ...]) -> Position:
        if work.startswith(REPORT):
            return Position(execution, work, answers, ("report", work.removeprefix(f"{REPORT} ")))
        course = self._course(execution, work)
        calls: list[str] = []
        try:
            for answer in (None, *answers):
                op = course.send(answer)
                calls.append(op[0])
        except StopIteration as end:
            return Position(execution, work, answers, None, end.value.verdict if end.value else Verdict.DONE)
        except LandlordError:
            return Position(execution, work, answers, None, Verdict.RETRY)  # a chore: its owner decides anew
        course.close()
        return Position(execution, work, answers, op, effect_before=_effect_since_gate(calls[:-1]))

    def _course(self, execution: str, work: str) -> Coroutine[Op, Any, Outcome | None]:
        """The real code from its beginning."""
        store, clock = _Store(self), _Clock()
        compute = {name: _Platform(self, name) for name in sorted({"fake", *self._providers.values()})}
        steps = Steps(store, compute, _Prober(clock), clock, Failpoints(None))  # type: ignore[arg-type]
        if work == "clean":
            return steps.clean(self.execution(execution))
        if work == "restore":
            return steps.restore(self.execution(execution))
        attempts = Attempts(store, steps, clock, max_attempts=1_000_000)  # type: ignore[arg-type]
        return attempts.make(execution, StepName(work), Probes())


class _Ask:
    """A call that the model answers."""

    def __init__(self, *op: Any) -> None:
        self._op = op

    def __await__(self) -> Generator[Op, Any, Any]:
        answer = yield self._op
        if answer == UNAVAILABLE:
            raise EngineUnavailable(UNAVAILABLE)
        if answer == PORT_TAKEN:
            raise Retryable(PORT_TAKEN)
        return answer


class _Store:
    """`ports.ExecutionStore` whose rows are the model's."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    async def context(self, execution_id: str) -> RunContext:
        state, serving, previous, placements, retried, done = await _Ask("context", execution_id)
        known = self._binding
        mine = known.execution(execution_id)
        return RunContext(
            owner=OWNER,
            tenant=_tenant(mine, execution_id if serving else previous),
            execution=_with_state(mine, state),
            previous=known.execution(previous) if previous is not None else None,
            steps=_steps(mine, done, retried),
            placements=_WITHHELD if placements is None else tuple(_placement(known, *row) for row in placements),
        )

    async def current(self, execution_id: str) -> bool:
        return await _Ask("gate", execution_id)  # type: ignore[no-any-return]

    async def providers_used(self, execution_id: str) -> list[str]:
        return ["fake"]

    async def removable(self, execution_id: str) -> bool:
        return await _Ask("removable", execution_id)  # type: ignore[no-any-return]

    async def intend(self, context: RunContext, provider: str, engine_identity: str, name: str) -> bool:
        return await _Ask("intend", context.execution.id)  # type: ignore[no-any-return]

    async def placed(self, execution_id: str, resource_id: str) -> None:
        await _Ask("placed", execution_id, resource_id)

    async def removed(self, execution_id: str) -> None:
        await _Ask("removed", execution_id)

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        return await _Ask("switch", execution_id)  # type: ignore[no-any-return]

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        attempts = await _Ask("step_started", execution_id)
        if attempts is None:
            return None
        return Step(execution_id, step, StepState.RUNNING, attempts=attempts, started_at=NOW)

    async def step_succeeded(self, execution_id: str, step: StepName) -> None:
        await _Ask("step_succeeded", execution_id)

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        await _Ask("step_failed", execution_id)


class _Withheld(tuple[Placement, ...]):
    """Placements where the code does not look at them, so that the answer is the same whatever they are."""

    def __iter__(self) -> Iterator[Placement]:
        raise AssertionError("the code looks at placements now: `runners` must tell them")


_WITHHELD = _Withheld()


class _Platform:
    """A compute provider: real `apply_gated` and `adoptable` over calls that the model answers."""

    name: ClassVar[str] = "fake"
    resource_kind: ClassVar[str] = "instance"

    def __init__(self, binding: Binding, name: str) -> None:
        self._binding = binding
        self._name = name

    async def identity(self) -> str:
        return ENGINE_IDENTITY

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        """Everything is valid here."""

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        return self._binding.exclusive and Rule.STEP_ASIDE in self._binding.rules

    async def apply(self, desired: DesiredResource, gate: Any) -> Resource:
        return await apply_gated(self, desired, gate)

    async def observe(self, ownership: Ownership) -> Resource | None:
        found = await _Ask("observe", ownership.execution)
        if found is None or not adoptable(self._binding.ownership(found[1]).labels(), ownership):
            return None
        return self._resource(found)

    async def create(self, desired: DesiredResource) -> str | None:
        return await _Ask("create", desired.ownership.execution)  # type: ignore[no-any-return]

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
        return Resource(id, self._binding.name(execution), self._binding.ownership(execution), state)


class _Clock:
    """Stands still, but for a probe that was answered with `never`: then the deadline is over."""

    def __init__(self) -> None:
        self.late = False

    def now(self) -> datetime:
        return NOW + timedelta(days=1) if self.late else NOW

    async def sleep(self, seconds: float) -> None:
        """No time passes."""


class _Prober:
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    async def probe(self, resource: Resource, health: HealthSpec) -> ProbeResult:
        answer = await _Ask("probe", resource.id)
        self._clock.late = answer == "never"
        return ProbeResult(healthy=answer == "healthy", detail=answer)


def _effect_since_gate(calls: list[str]) -> bool:
    since = calls[len(calls) - calls[::-1].index("gate") :] if "gate" in calls else calls
    return any(call in EFFECTS for call in since)


def _tenant(of: Execution, serving: str | None) -> Tenant:
    return Tenant(
        id=of.tenant_id,
        name=NAME,
        labels={},
        annotations={},
        spec=of.spec,
        generation=of.generation,
        observed_generation=0,
        status=Status.UPDATING,
        status_message="",
        conditions=(),
        observed=Observed(),
        current_execution=of.id,
        serving_execution=serving,
        version=1,
        paused=False,
        epoch=1,
        fence=1,
        lease_owner=None,
        lease_expires_at=None,
        created_at=NOW,
        updated_at=NOW,
    )


def _with_state(execution: Execution, current: bool) -> Execution:
    return replace(execution, state=ExecutionState.RUNNING if current else ExecutionState.STOPPING)


def _steps(of: Execution, done: int, retried: bool) -> tuple[Step, ...]:
    """Those begun, as far as the code looks at them."""
    names = [step for step in STEPS[of.action] if step is not StepName.PLAN]
    ended = [Step(of.id, name, StepState.SUCCEEDED, attempts=1, started_at=NOW) for name in names[:done]]
    on = [Step(of.id, name, StepState.RUNNING, 2 if retried else 1, started_at=NOW) for name in names[done : done + 1]]
    return (*ended, *on)


def _placement(binding: Binding, id: str, resource: str | None) -> Placement:
    made = binding.execution(id)
    return Placement(
        execution_id=id,
        tenant_id=made.tenant_id,
        provider=made.spec.compute.provider,
        engine_identity=ENGINE_IDENTITY,
        generation=made.generation,
        run=made.run,
        name=binding.name(id),
        resource_id=resource,
        state=PlacementState.PLACED if resource else PlacementState.INTENDED,
        created_at=NOW,
    )
