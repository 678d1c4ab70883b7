"""Owners: each turn is one decision of the real `reconcile` and one guarded write, as in `actors.runner`."""

from collections.abc import Iterator
from typing import Any

from controlplane.lifecycle.transitions import Cause
from controlplane.model import ExecutionState, StopCause, SubState
from controlplane.ports import ResourceState
from controlplane.steps.attempts import Verdict
from tests.model import owned_tenant
from tests.model.binding import REPORT, Binding
from tests.model.case import Case, Kind
from tests.model.decisions import Act, Decisions, Seen
from tests.model.rules import Rule
from tests.model.runners import ENGINE_SAYS, Move, Runners
from tests.model.world import FORGOTTEN, Owner, Resource, World

FORMER = "a former owner"
"""Whose name stands on what one does that has lost its lease."""
OLDER = "an owner of the older release"
DECIDE = "decide"
"""Where an owner says that its turns fail that leaves the rows alone."""


class Owners:
    """All that owners may do next."""

    def __init__(self, case: Case, binding: Binding, runners: Runners) -> None:
        self._case = case
        self._binding = binding
        self._runners = runners
        self._decisions = Decisions(case, binding)
        self._where_it_fails = (0,) if case.elsewhere else (0, 1)

    def moves(self, world: World) -> Iterator[Move]:
        for owner in world.owners:
            if owner.act is not None:
                yield from self._act(world, owner, owner.act, Kind.OURS)
            elif owner.fence != world.tenant.fence and Rule.FENCE in self._binding.rules:
                yield ("owner", "has lost its lease, leaves"), _gone(world, owner), Kind.OURS
            else:
                yield from self._turn(world, owner)
                yield from self._looks(world, owner)

    def _turn(self, world: World, owner: Owner) -> Iterator[Move]:
        """One decision for each thing that the owner may see now."""
        done = set()
        for seen, kind in self._seen(world, owner):
            act, well = self._decisions.decide(world, seen._replace(old=owner.old))
            yield from self._says_it_is_over(world, owner, act, well)
            if act is None or act[0] in ("Follow", "RecordProgress", "AdvancePlanned") or act in done:
                continue
            done.add(act)
            if act[0] == world.poison and owner.cluster in self._where_it_fails:
                if Rule.FAILING_LEAVES in self._binding.rules:
                    yield ("owner", "fails and leaves at", act[0]), self._gives_up(world, owner, act[0]), Kind.OURS
                continue
            if act[0] == "Stop" and self._lets_run(world):
                continue
            before = world
            if act[0] == "Stop" and act[2] is StopCause.DEADLINE and seen.deadline_over and not seen.silent:
                before, kind = world.spend("deadlines"), Kind.ENVIRONMENT
            if self._case.split and act[0] not in ("Look", "Passivate", "Leave", "LeaveAlone"):
                yield ("owner", "decides", *act), before.own(owner, owner._replace(act=act)), kind
            else:
                yield from self._act(before, owner, act, kind)

    def _says_it_is_over(self, world: World, owner: Owner, act: Act | None, well: bool) -> Iterator[Move]:
        """A turn that decides has not failed to decide; and if nothing is left to do, nothing fails."""
        if world.tenant.failing is None or (act is not None and act[0] == "LeaveAlone"):
            return
        mine = (self._binding.at(r.position).work for r in world.runners if r.holder == owner.fence)
        over = well and owner.looking is None and not any(work in _OWN for work in mine)
        after = owned_tenant.passed(world, *(() if over else (DECIDE,)))
        yield ("owner", "says that what failed is over"), after, Kind.OURS

    def _gives_up(self, world: World, owner: Owner, at: str) -> World:
        return owned_tenant.give_up(_gone(world, owner), owner, at)

    def _lets_run(self, world: World) -> bool:
        deletes = world.queued is not None and world.tenant.deleting
        return deletes and Rule.DELETE_SUPERSEDES not in self._binding.rules

    def _seen(self, world: World, owner: Owner) -> Iterator[tuple[Seen, Kind]]:
        active = world.active
        finding = owner.finding if self._case.looks else _truth(world)
        if active is None:
            yield Seen(None, finding, blind=owner.blind), Kind.OURS
            if self._case.crowded and world.queued is not None and world.queued.run > 1:
                yield Seen(None, finding, waits=True), Kind.OURS
            return
        if active.engine == "silent":
            yield Seen(None, finding, silent=True), Kind.OURS
            if active.state is ExecutionState.STOPPING:
                yield Seen(None, finding, silent=True, stop_waited=True), Kind.OURS
            yield Seen(None, finding, silent=True, deadline_over=True), Kind.OURS  # in time, for it goes on for ever
            return
        engine = self._engine(world, owner)
        yield Seen(engine, finding), Kind.OURS
        if active.state is ExecutionState.STOPPING:
            yield Seen(engine, finding, stop_waited=True), Kind.OURS
        if engine is SubState.RUNNING:
            yield Seen(SubState.BACKING_OFF, finding), Kind.LUCK
            if self._case.crowded and (not self._case.embedded or self._between_attempts(world, owner, active.id)):
                yield Seen(SubState.BACKING_OFF, finding, waits=True), Kind.LUCK
        if world.budget.deadlines:
            yield Seen(engine, finding, deadline_over=True), Kind.ENVIRONMENT

    def _between_attempts(self, world: World, owner: Owner, id: str) -> bool:
        """Its own engine sleeps before the next attempt at a step."""
        mine = [r for r in world.runners if (r.holder, r.execution) == (owner.fence, id)]
        return all(not self._binding.at(r.position).answers for r in mine)

    def _engine(self, world: World, owner: Owner) -> SubState:
        """What the engine of the active execution says: the external one, or this owner's own."""
        active = world.active
        assert active is not None
        if self._case.embedded:
            mine = [r for r in world.runners if (r.holder, r.execution) == (owner.fence, active.id)]
            works = [self._binding.at(r.position).work for r in mine if self._binding.at(r.position).work not in _OWN]
            if not works:
                return SubState.UNKNOWN
            if not works[0].startswith(REPORT):
                return SubState.RUNNING
            return ENGINE_SAYS[Verdict(works[0].removeprefix(f"{REPORT} "))]
        if active.engine in ("", "accepted", "cancelling"):
            return SubState.RUNNING if active.engine else SubState.UNKNOWN
        return SubState(active.engine)

    # --- what follows from a decision ---

    def _act(self, world: World, owner: Owner, act: Act, kind: Kind) -> Iterator[Move]:
        name, *details = act
        if owner.act is not None:
            world, owner = _without_act(world, owner)
        if owner.fence != world.tenant.fence and Rule.FENCE in self._binding.rules:
            yield ("owner", "has lost its lease, writes nothing", *act), _gone(world, owner), kind
            return
        ours = OLDER if owner.old else "owner"
        who = ours if owner.fence == world.tenant.fence else FORMER
        for after in getattr(self, f"_{name}")(world, owner, *details):
            # A write whose guard refuses changes nothing: it reloads and decides anew.
            yield (who, *act), world if after is None else owned_tenant.passed(after, name), kind

    def _Promote(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        yield owned_tenant.promote(world, self._binding, id)

    def _Start(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        """The engine's start is one move, and to write that it has begun another."""
        if self._case.embedded:
            if self._engine_runs(world, owner, id):
                yield owned_tenant.running(world, id)
            else:
                yield self._runners.begin(world, id, owner.fence)
        elif not world.of(id).engine:
            yield world.save(id, engine="accepted")
        else:
            yield owned_tenant.running(world, id)

    def _Stop(self, world: World, owner: Owner, id: str, cause: StopCause) -> Iterator[World | None]:
        """With the word to the engine; or it dies before that, which is why stopping has an end of its own."""
        stopped = owned_tenant.stop(world, self._binding, id, cause)
        if stopped is None:
            yield None
            return
        yield stopped.save(id, engine="cancelling") if stopped.of(id).engine == "accepted" else stopped

    def _Finish(self, world: World, owner: Owner, id: str, outcome: ExecutionState) -> Iterator[World | None]:
        """The embedded engine forgets it, an external one is told to kill it."""
        after = owned_tenant.finish(world, self._binding, id, outcome)
        if after is None:
            yield None
            return
        for runner in after.runners:
            work = self._binding.at(runner.position).work
            if (runner.holder, runner.execution) == (owner.fence, id) and work not in _OWN:
                ended = work.startswith(REPORT)
                after = after.move(runner, None if ended else runner._replace(holder=FORGOTTEN))
        if after.of(id).engine == "accepted":
            after = after.save(id, engine="cancelling")
        yield after

    def _Clean(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        yield from self._chore(world, owner, id, "clean")

    def _RestoreServing(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        if Rule.RESTORE not in self._binding.rules:
            yield None
            return
        yield from self._chore(world.own(owner, owner._replace(finding=None)), owner, id, "restore")

    def _chore(self, world: World, owner: Owner, id: str, work: str) -> Iterator[World | None]:
        """At most one of a kind."""
        kinds = [self._binding.at(r.position).work for r in world.runners if r.holder == owner.fence]
        yield None if work in kinds else self._runners.begin(world, id, owner.fence, work)

    def _MarkUnhealthy(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.observed(world, self._binding, Cause.UNHEALTHY, fresh=self._fresh(owner))

    def _MarkBudgetSpent(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.observed(world, self._binding, Cause.UNHEALTHY, fresh=self._fresh(owner), budget_spent=True)

    def _HandOver(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        yield from self._Finish(world, owner, id, ExecutionState.FAILED)

    def _MarkKept(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.observed(world, self._binding, Cause.KEPT, fresh=self._fresh(owner))

    def _MarkRecovered(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.observed(world, self._binding, Cause.RECOVERED, fresh=self._fresh(owner))

    def _Heal(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.heal(world, self._binding, fresh=self._fresh(owner))

    def _Look(self, world: World, owner: Owner, id: str) -> Iterator[World | None]:
        yield world.own(owner, owner._replace(looking=True)) if self._case.looks and owner.looking is None else None

    def _Passivate(self, world: World, owner: Owner, away: bool) -> Iterator[World | None]:
        for runner in world.runners:  # its engine sleeps between two attempts
            if runner.holder == owner.fence and not self._binding.at(runner.position).answers:
                world = world.move(runner, None)
        after = owned_tenant.release(_gone(world, owner), owner)
        later = away or world.tenant.failing is not None
        yield after.of_tenant(away=True) if later and owner.fence == world.tenant.fence else after

    def _LeaveAlone(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield self._gives_up(world, owner, DECIDE)

    def _Leave(self, world: World, owner: Owner) -> Iterator[World | None]:
        yield owned_tenant.release(_gone(world, owner), owner)

    def _fresh(self, owner: Owner) -> bool:
        return not self._case.looks or (owner.finding is not None and owner.finding[0])

    def _engine_runs(self, world: World, owner: Owner, id: str) -> bool:
        return any(
            (r.holder, r.execution) == (owner.fence, id) and self._binding.at(r.position).work not in _OWN
            for r in world.runners
        )

    # --- looks ---

    def _looks(self, world: World, owner: Owner) -> Iterator[Move]:
        """A look ends; a finding that is no longer true is followed by another look, in time."""
        if owner.looking is not None:
            now = _truth(world)
            found = None if now is None else (owner.looking, *now[1:])
            label: tuple[Any, ...] = ("owner", "sees", found)
            yield label, world.own(owner, owner._replace(looking=None, finding=found)), Kind.OURS
            if world.budget.blinds:
                blind = world.own(owner, owner._replace(looking=None, finding=None, blind=True)).spend("blinds")
                yield ("owner", "sees nothing: the platform is away"), blind, Kind.ENVIRONMENT
        elif owner.blind:
            yield ("owner", "is to look again"), world.own(owner, owner._replace(blind=False)), Kind.OURS
        elif owner.finding is not None and owner.finding != _truth(world) and owner.fence == world.tenant.fence:
            yield ("owner", "is to look again"), world.own(owner, owner._replace(finding=None)), Kind.OURS


_OWN = ("clean", "restore")


def _truth(world: World) -> tuple[bool, bool, bool, bool] | None:
    """A finding of this very moment."""
    if world.tenant.serving is None:
        return None
    found: Resource | None = next((r for r in world.resources if r.execution == world.tenant.serving), None)
    running = found is not None and found.state is ResourceState.RUNNING
    return True, found is not None, running, found is not None and found.healthy and running


def _without_act(world: World, owner: Owner) -> tuple[World, Owner]:
    bare = owner._replace(act=None)
    return world.own(owner, bare), bare


def _gone(world: World, owner: Owner) -> World:
    """It leaves, and what ran in its process has returned or is forgotten."""
    world = world.own(owner, None)
    for runner in world.runners:
        if runner.holder == owner.fence:
            world = world.move(runner, runner._replace(holder=FORGOTTEN))
    return world
