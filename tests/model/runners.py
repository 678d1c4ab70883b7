"""Runners and chores: each goes through real code (`binding`), and this answers its calls from the model's rows
(guards of `controlplane.persistence.runs`) and from its platform.
"""

from collections.abc import Iterator
from typing import Any

from controlplane.model import CURRENT, LIVE, ExecutionState, PlacementState, StepName, SubState
from controlplane.ports import ResourceState
from controlplane.steps.attempts import Verdict
from tests.model.binding import CHORES, REPORT, Binding, work_of
from tests.model.case import Case, Kind
from tests.model.rules import Rule
from tests.model.stubs import MISREAD, PORT_TAKEN, READABLE, UNAVAILABLE, UNREADABLE, Op
from tests.model.world import ENGINE, Placement, Resource, Runner, World

STANDS_ALONE = frozenset(
    {"step_started", "gate", "removable", "create", "start", "stop", "destroy", "switch", "report"}
)
"""Before these a runner may be overtaken; the other calls only read, or record what was done, and follow at once.
(`Case.fine`: each call stands alone.)"""


ENGINE_SAYS = {Verdict.DONE: SubState.SUCCEEDED, Verdict.FAILED: SubState.FAILED, Verdict.STOPPED: SubState.CANCELLED}

Answer = tuple[Any, World, Kind]
Move = tuple[tuple[Any, ...], World, Kind]


class Runners:
    """All that runners may do next."""

    def __init__(self, case: Case, binding: Binding) -> None:
        self._case = case
        self._binding = binding

    def moves(self, world: World) -> Iterator[Move]:
        for runner in world.runners:
            position = self._binding.at(runner.position)
            if position.op is not None and (position.op[0] != "report" or runner.holder != world.tenant.fence):
                yield from self._steps(world, runner, (runner.execution, position.work, position.op[0]))
            if world.budget.crashes and runner.holder != world.tenant.fence:
                label = ("crash", runner.execution, position.work, position.op and position.op[0])
                yield label, world.move(runner, None).spend("crashes"), Kind.ENVIRONMENT

    def begin(self, world: World, execution: str, holder: int, work: str = "") -> World:
        """Another one, at the first step that is not done."""
        row = world.of(execution)
        position = self._binding.begin(execution, work or work_of(row.action, row.done))
        return world.move(None, Runner(execution, holder, position))

    def _steps(self, world: World, runner: Runner, label: tuple[Any, ...]) -> Iterator[Move]:
        """Its next call answered in each possible way, with what follows at once."""
        op = self._binding.at(runner.position).op
        assert op is not None
        for answer, after, kind in self._answers(world, runner, op):
            if op[0] == "report":
                yield label, after.move(runner, None), kind
                continue
            on = Runner(runner.execution, runner.holder, self._binding.answered(runner.position, answer))
            said = (*label, _told(op, answer))
            yield from self._go_on(after.move(runner, on), on, said, kind)

    def _go_on(self, world: World, runner: Runner, label: tuple[Any, ...], kind: Kind) -> Iterator[Move]:
        position = self._binding.at(runner.position)
        if position.op is None:
            yield label, self._ended(world, runner, position.work, position.verdict), kind
        elif self._case.fine or position.op[0] in STANDS_ALONE:
            yield label, world, kind
        else:
            for said, after, also in self._steps(world, runner, label):
                yield said, after, also if kind is Kind.OURS else kind

    def _ended(self, world: World, runner: Runner, work: str, verdict: Verdict | None) -> World:
        """The code has returned: the next step, the same one again, or a word to the engine."""
        if work in CHORES:
            return world.move(runner, None)
        row = world.of(runner.execution)
        if verdict in (Verdict.AGAIN, Verdict.RETRY):
            following = work
        elif verdict is Verdict.DONE:
            following = work_of(row.action, row.done)
            if following == work:  # a record of an older runner
                following = work_of(row.action, row.done + 1)
        else:
            following = f"{REPORT} {verdict}"
        return world.move(runner, runner._replace(position=self._binding.begin(runner.execution, following)))

    @staticmethod
    def removed(world: World, id: str) -> World:
        """`PostgresExecutionStore.removed`."""
        found = world.placement(id)
        if found is None or found.state not in LIVE:
            return world
        return world.place(found._replace(state=PlacementState.REMOVED))

    # --- answers ---

    def _answers(self, world: World, runner: Runner, op: Op) -> Iterator[Answer]:
        name, *arguments = op
        if name in ("observe", "create", "inspect", "list", "start", "stop", "destroy"):
            yield from self._platform(world, runner, name, arguments)
        elif name == "probe":
            yield from self._probe(world, *arguments)
        elif name == "gate":
            yield self._passes(world, runner), world, Kind.OURS
        elif name == "report":
            yield None, self._report(world, runner, arguments[0]), Kind.OURS
        else:
            answer, after = getattr(self, f"_{name}")(world, runner, *arguments)
            yield answer, after, Kind.OURS

    def _context(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.context`, as far as the work at hand looks at it."""
        rows, after = self._rows(world, runner, id)
        return (*rows, self._spec(world, runner)), after

    def _spec(self, world: World, runner: Runner) -> str:
        """How this runner's process reads the spec, where it needs it."""
        work = self._binding.at(runner.position).work
        if not world.of(runner.execution).newer or work not in (StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY):
            return READABLE
        owner = next((o for o in world.owners if o.fence == runner.holder), None)
        if not (world.old if owner is None else owner.old):
            return READABLE
        return UNREADABLE if Rule.UNREADABLE_WAITS in self._binding.rules else MISREAD

    def _rows(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        row, work = world.of(id), self._binding.at(runner.position).work
        serving = self._serving(world, id)
        placements = tuple(
            (p.execution, p.resource)
            for p in sorted(world.placements, key=lambda p: world.of(p.execution).order)
            if p.state in LIVE and world.of(p.execution).life == row.life
        )
        if work == "restore":
            return (False, True, None, placements, False, 0), world
        if work == "clean":
            return (False, False, None, placements, False, 0), world
        current = row.state in CURRENT
        if work == StepName.APPLY_COMPUTE:
            if not self._case.exclusive:
                return (current, False, None, None, False, 0), world
            return (current, False, None if serving == id else serving, placements, False, 0), world
        if work == StepName.WAIT_HEALTHY:
            if self._case.exclusive:  # what vanished is applied again, and then steps aside again
                return (current, serving == id, None if serving == id else serving, placements, row.retried, 1), world
            return (current, serving == id, None, None, row.retried, 1), world
        return (current, serving == id, None, placements, False, row.done), world

    @staticmethod
    def _serving(world: World, id: str) -> str | None:
        """What serves, or served to the end, the tenant of this execution."""
        life = world.of(id).life
        return world.tenant.serving if life == world.tenant.life else world.tenant.past[life]

    def _passes(self, world: World, runner: Runner) -> bool:
        """`PostgresExecutionStore.current`; with a rule dropped it is not asked there."""
        rule = Rule.GATE_AFTER if self._binding.at(runner.position).effect_before else Rule.GATE_BEFORE
        return rule not in self._binding.rules or world.of(runner.execution).state in CURRENT

    def _removable(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.removable`."""
        state = world.of(id).state
        stable = state not in (ExecutionState.QUEUED, *CURRENT) and self._serving(world, id) != id
        return stable or Rule.STABLE_REMOVAL not in self._binding.rules, world

    def _intend(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.intend`."""
        if world.of(id).state not in CURRENT:
            return False, world
        found = world.placement(id)
        if Rule.INTENT_FIRST in self._binding.rules and (found is None or found.state is PlacementState.REMOVED):
            world = world.place(Placement(id, PlacementState.INTENDED, found.resource if found else None))
        return True, world

    def _placed(self, world: World, runner: Runner, id: str, resource: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.placed`."""
        found = world.placement(id)
        if Rule.INTENT_FIRST in self._binding.rules and (found is None or found.state not in LIVE):
            return None, world
        return None, world.place(Placement(id, PlacementState.PLACED, resource))

    def _removed(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        return None, self.removed(world, id)

    def _switch(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.switch`."""
        if self._serving(world, id) == id:
            return True, world
        row = world.of(id)
        if row.state not in CURRENT and (Rule.SWITCH_GUARDED in self._binding.rules or row.life != world.tenant.life):
            return False, world
        return True, world.of_tenant(serving=id)

    def _step_started(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.step_started`: the number of this attempt."""
        row = world.of(id)
        if row.state not in CURRENT:
            return None, world
        return 2 if row.retried else 1, world

    def _step_succeeded(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        row, work = world.of(id), self._binding.at(runner.position).work
        if work_of(row.action, row.done) == work:
            world = world.save(id, done=row.done + 1, retried=False)
        return None, world

    def _step_failed(self, world: World, runner: Runner, id: str) -> tuple[Any, World]:
        row, work = world.of(id), self._binding.at(runner.position).work
        if work_of(row.action, row.done) == work:
            world = world.save(id, retried=True)
        return None, world

    @staticmethod
    def _step_waits(world: World, runner: Runner, id: str) -> tuple[Any, World]:
        """`PostgresExecutionStore.step_waits`: the next attempt has the same number."""
        return None, world

    def _report(self, world: World, runner: Runner, verdict: str) -> World:
        """To the external engine, which hears the first one. Nobody hears a runner whose actor is gone."""
        row = world.of(runner.execution)
        if runner.holder == ENGINE and row.engine in ("accepted", "cancelling"):
            return world.save(runner.execution, engine=ENGINE_SAYS[Verdict(verdict)].value)
        return world

    # --- the platform ---

    def _probe(self, world: World, id: str, told: bool) -> Iterator[Answer]:
        """`told`: as the client asked for; else the platform's own verdict, which is that it runs."""
        found = next((r for r in world.resources if r.id == id), None)
        if not told:
            runs = found is not None and found.state is ResourceState.RUNNING
            yield "healthy" if runs else "unhealthy", world, Kind.OURS
            return
        if found is not None and found.healthy:
            yield "healthy", world, Kind.OURS
            return
        if found is not None and found.state is ResourceState.RUNNING:
            yield "healthy", world.put(found, found._replace(healthy=True)), Kind.LUCK
        yield "unhealthy", world, Kind.OURS
        if world.budget.failures:
            yield "never", world.spend("failures"), Kind.ENVIRONMENT

    def _platform(self, world: World, runner: Runner, name: str, arguments: list[Any]) -> Iterator[Answer]:
        answer, after = getattr(self, f"_do_{name}")(world, *arguments)
        yield answer, after, Kind.OURS
        if world.budget.outages:
            yield UNAVAILABLE, world.spend("outages"), Kind.ENVIRONMENT
            if after is not world and answer != PORT_TAKEN:
                yield UNAVAILABLE, after.spend("outages"), Kind.ENVIRONMENT

    def _by_name(self, world: World, execution: str) -> Resource | None:
        name = self._binding.name(execution)
        return next((r for r in world.resources if self._binding.name(r.execution) == name), None)

    def resolve(self, world: World, id: str) -> Resource | None:
        """What a handle addresses."""
        if Rule.IMMUTABLE_IDS in self._binding.rules:
            return next((r for r in world.resources if r.id == id), None)
        return self._by_name(world, id.partition("#")[0])

    def _do_observe(self, world: World, execution: str) -> tuple[Any, World]:
        return _seen(self._by_name(world, execution)), world

    def _do_inspect(self, world: World, id: str) -> tuple[Any, World]:
        return _seen(next((r for r in world.resources if r.id == id), None)), world

    def _do_list(self, world: World, provider: str, life: int) -> tuple[Any, World]:
        return tuple(
            _seen(r)
            for r in world.resources
            if self._binding.execution(r.execution).spec.compute.provider == provider
            and world.of(r.execution).life == life
        ), world

    def _do_create(self, world: World, execution: str) -> tuple[Any, World]:
        if self._by_name(world, execution) is not None:
            return None, world
        made = dict(world.made)
        number = made.get(execution, 0)
        made[execution] = number + 1
        id = f"{execution}#{number}"
        world = world._replace(made=tuple(sorted(made.items())))
        return id, world.put(None, Resource(id, execution, ResourceState.CREATED))

    def _do_start(self, world: World, id: str) -> tuple[Any, World]:
        found = self.resolve(world, id)
        if found is None or found.state is ResourceState.RUNNING:
            return None, world
        if self._case.exclusive and any(r.state is ResourceState.RUNNING for r in world.resources):
            return PORT_TAKEN, world
        return None, world.put(found, found._replace(state=ResourceState.RUNNING))

    def _do_stop(self, world: World, id: str) -> tuple[Any, World]:
        found = self.resolve(world, id)
        if found is None or found.state is not ResourceState.RUNNING:
            return None, world
        return None, world.put(found, found._replace(state=ResourceState.STOPPED))

    def _do_destroy(self, world: World, id: str) -> tuple[Any, World]:
        found = self.resolve(world, id)
        return None, world.put(found, None) if found is not None else world


def _told(op: Op, answer: Any) -> str | None:
    """Of an answer, what a trace shows."""
    if op[0] in ("gate", "removable", "switch"):
        return "yes" if answer else "no"
    if answer in (UNAVAILABLE, PORT_TAKEN) or op[0] == "probe":
        return f"({op[0]}: {answer})"
    return None


def _seen(resource: Resource | None) -> tuple[str, str, ResourceState] | None:
    return None if resource is None else (resource.id, resource.execution, resource.state)
