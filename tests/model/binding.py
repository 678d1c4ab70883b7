"""Where the model runs the real code: `Steps`, `Upkeep`, `apply_gated` and `StepAttempts`, one store or platform call
at a time.

A coroutine's state cannot be copied, but it is a function of the answers that it was given. So a position in the code
is (execution, what it runs, the answers so far); it is replayed once, and then remembered with the call that comes
next. Store and platform are stubs.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.errors import LandlordError
from controlplane.failpoints import Failpoints
from controlplane.model import (
    STEPS,
    Action,
    ComputeSpec,
    Execution,
    StepName,
    TenantSpec,
    resource_name,
)
from controlplane.ports import Origin
from controlplane.steps.attempts import Outcome, StepAttempts, Verdict
from controlplane.steps.platforms import Platforms
from controlplane.steps.probes import Probes
from controlplane.steps.run import Steps
from controlplane.steps.upkeep import Upkeep
from tests.model.rules import Rule
from tests.model.stubs import HEALTH, Op, Platform, Prober, StandingClock, Store
from tests.model.world import LIVES, NAME, OWNER, id_of
from tests.unit import builders

ENGINE = "engine"
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
                health=HEALTH,
            )
            self._executions[id] = builders.execution(
                action=action,
                generation=generation,
                run=run,
                id=id,
                tenant_id=LIVES[life],
                tenant_name=NAME,
                engine=ENGINE,
                spec=spec,
            )
        return id

    def provider_of(self, generation: int) -> str:
        """Where resources of that generation are made: a PATCH may move them."""
        return self._providers.get(generation, "fake")

    def origin(self, id: str) -> Origin:
        made = self.execution(id)
        return Origin(OWNER, NAME, made.tenant_id, made.generation, made.run, id, made.spec.hash)

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
        store, clock = Store(self), StandingClock()
        compute = {name: Platform(self, name) for name in sorted({"fake", *self._providers.values()})}
        platforms, prober = Platforms(store, compute), Prober(clock)  # type: ignore[arg-type]
        if work == "clean":
            return Upkeep(store, platforms, prober).clean(self.execution(execution))
        if work == "restore":
            return Upkeep(store, platforms, prober).restore(self.execution(execution))
        steps = Steps(store, platforms, prober, clock, Failpoints(None))
        attempts = StepAttempts(store, steps, clock, max_attempts=1_000_000)  # type: ignore[arg-type]
        return attempts.make(execution, StepName(work), Probes())


def _effect_since_gate(calls: list[str]) -> bool:
    since = calls[len(calls) - calls[::-1].index("gate") :] if "gate" in calls else calls
    return any(call in EFFECTS for call in since)
