"""What else happens: clients, engines, the supervisor, and everything that goes wrong."""

from collections.abc import Iterator

from controlplane.model import Action, ExecutionState, SubState
from controlplane.persistence.fleet import ExecutionFact, TenantKey
from controlplane.ports import ResourceState
from tests.model import intents, owned_tenant
from tests.model.binding import Binding
from tests.model.case import Case, Kind
from tests.model.rules import Rule
from tests.model.runners import LIVE, Move, Runners
from tests.model.world import CLUSTERS, ENGINE, LIVES, NAME, Execution, Lease, Owner, Placement, Sweep, World


class Environment:
    def __init__(self, case: Case, binding: Binding, runners: Runners) -> None:
        self._case = case
        self._binding = binding
        self._runners = runners

    def moves(self, world: World) -> Iterator[Move]:
        yield from self._clients(world)
        yield from self._engines(world)
        yield from self._sweep(world)
        yield from self._owners_come_and_go(world)
        yield from self._misfortunes(world)

    def _clients(self, world: World) -> Iterator[Move]:
        budget, binding, env = world.budget, self._binding, Kind.ENVIRONMENT
        asked = []
        if budget.patches:
            asked.append(("patches", "PATCH", intents.patch(world, binding)))
        if budget.newers:
            asked.append(("newers", "PATCH of the newer release", intents.patch_of_newer(world, binding)))
        if budget.deletes:
            asked.append(("deletes", "DELETE", intents.delete(world, binding)))
        if budget.retries:
            asked.append(("retries", "retry", intents.retry(world, binding)))
        if budget.forces:
            asked.append(("forces", "DELETE by force", intents.force_delete(world)))
        if budget.pauses:
            asked.append(("pauses", "pause", intents.pause(world)))
        if budget.rebirths:
            asked.append(("rebirths", "POST of the same name", intents.create_again(world, binding)))
        if budget.cancels:
            for row in world.executions:
                asked.append(("cancels", f"cancel of {row.id}", intents.cancel(world, row)))
        for what, label, after in asked:
            if after is not None:
                yield ("client", label), after.spend(what), env
        if world.tenant.paused:
            yield ("client", "resume"), intents.resume(world), Kind.OURS
        active = world.active
        if Rule.STOPPING_FINAL not in binding.rules and active and active.state is ExecutionState.STOPPING:
            yield ("owner", "lets it run on", active.id), world.save(active.id, state=ExecutionState.RUNNING), env

    def _engines(self, world: World) -> Iterator[Move]:
        if self._case.embedded:
            return
        for row in world.executions:
            runs = sum(r.holder == ENGINE and r.execution == row.id for r in world.runners)
            if row.engine == "accepted" and not runs:
                yield ("engine", "starts a runner of", row.id), self._runners.begin(world, row.id, ENGINE), Kind.OURS
            if row.engine == "cancelling" and not runs:
                over = world.save(row.id, engine=SubState.CANCELLED.value)
                yield ("engine", "has cancelled", row.id), over, Kind.OURS
            if row.engine == "accepted" and row.action is Action.DELETE and world.budget.failures:
                lost = world.save(row.id, engine=SubState.FAILED.value).spend("failures")
                yield ("engine", "gives up", row.id), lost, Kind.ENVIRONMENT
            if row.engine == "accepted" and world.budget.silences:
                silent = world.save(row.id, engine="silent").spend("silences")
                yield ("engine", "falls silent about", row.id), silent, Kind.ENVIRONMENT
            if row.engine == "accepted" and world.budget.errors:
                stuck = world.save(row.id, engine=SubState.ERROR.value).spend("errors")
                yield ("engine", "gives up, and waits for a person:", row.id), stuck, Kind.ENVIRONMENT
            if not row.engine and row.state is ExecutionState.STARTING and world.budget.lies:
                lie = world.save(row.id, engine=SubState.SUCCEEDED.value).spend("lies")
                yield ("engine", "has known, and says it succeeded:", row.id), lie, Kind.ENVIRONMENT
            if not world.budget.seconds:
                continue
            if row.engine in ("accepted", "cancelling") and runs == 1:
                second = self._runners.begin(world, row.id, ENGINE).spend("seconds")
                yield ("engine", "starts a second runner of", row.id), second, Kind.ENVIRONMENT
            if not row.engine and row.state is not ExecutionState.QUEUED and row.cause is not None:
                late = world.save(row.id, engine="accepted").spend("seconds")
                yield ("engine", "is late told to start", row.id), late, Kind.ENVIRONMENT

    # --- the supervisor ---

    def _sweep(self, world: World) -> Iterator[Move]:
        """`Sweep.resources`: a listed resource that the rows call a leftover, checked again, then removed."""
        if Rule.LEFTOVERS not in self._binding.rules:
            return
        checks, resource, execution = world.sweep
        needed = 2 if Rule.SECOND_CHECK in self._binding.rules else 1
        if checks == 0:
            for found in world.resources:
                if self._leftover(world, found.execution):
                    label = ("sweep", "finds", found.id)
                    yield label, world._replace(sweep=Sweep(1, found.id, found.execution)), Kind.OURS
        elif checks < needed:
            still = self._leftover(world, execution)
            after = world._replace(sweep=Sweep(2, resource, execution) if still else Sweep())
            yield ("sweep", "checks again", resource, still), after, Kind.OURS
        else:
            there = self._runners.resolve(world, resource)
            gone = world.put(there, None) if there is not None else world
            gone = self._runners.removed(gone, execution)
            yield ("sweep", "removes", resource), gone._replace(sweep=Sweep()), Kind.OURS

    def _leftover(self, world: World, execution: str) -> bool:
        """`census.facts`, and the real rule."""
        row, tenant = world.of(execution), world.tenant
        present = row.life == tenant.life
        serving = (tenant.serving if present else tenant.past[row.life]) == execution
        fact = ExecutionFact(
            tenant=TenantKey(LIVES[row.life], NAME),
            state=row.state,
            serving=serving and Rule.NOT_SERVING in self._binding.rules,
            tenant_deleted=not present or tenant.deleted,
            busy=world.active is not None or world.queued is not None,
            paused=present and tenant.paused,
        )
        return fact.sweepable

    def _owners_come_and_go(self, world: World) -> Iterator[Move]:
        tenant, owner = world.tenant, world.owner
        if tenant.away and Rule.WAKE_AT in self._binding.rules:
            yield ("supervisor", "the time it was away for is over"), world.of_tenant(away=False), Kind.OURS
        found = self._finding(world)
        if tenant.found is not None and (tenant.found != found or Rule.MEMO_ENDS in self._binding.rules):
            yield ("supervisor", "forgets what it found"), world.of_tenant(found=None), Kind.OURS
        nominated = found is not None and (tenant.found is None or tenant.found != found)
        if owner is None and (self._is_due(world) or nominated):
            for cluster in range(len(CLUSTERS)):
                after = owned_tenant.acquire(world, self._binding, cluster)
                if after is not None and (cluster == tenant.cluster or self._case.elsewhere):
                    if nominated and self._case.remembers:
                        after = after.of_tenant(found=found)
                    yield ("supervisor", "activates", CLUSTERS[cluster]), after, Kind.OURS
        if world.budget.owners:
            for cluster in range(len(CLUSTERS)):
                after = owned_tenant.acquire(world, self._binding, cluster)
                if after is not None:
                    label = ("another owner comes", CLUSTERS[cluster])
                    yield label, self._known_lost(after).spend("owners"), Kind.ENVIRONMENT
        if owner is not None:
            if world.budget.crashes:
                yield ("the owner dies",), self._dead(world, owner).spend("crashes"), Kind.ENVIRONMENT
            if world.budget.expiries and tenant.lease is Lease.VALID:
                yield ("the lease expires",), world.of_tenant(lease=Lease.EXPIRED).spend("expiries"), Kind.ENVIRONMENT
            renewed = owned_tenant.renew(world, owner)
            if renewed is not None:
                yield ("the owner renews its lease",), renewed, Kind.OURS

    @staticmethod
    def _dead(world: World, owner: Owner) -> World:
        dead = world.own(owner, None)
        for runner in dead.runners:
            dead = dead.move(runner, None) if runner.holder == owner.fence else dead
        return dead

    def _known_lost(self, world: World) -> World:
        """An owner that has lost its lease and has nothing in hand can do nothing: it need not be kept."""
        if Rule.FENCE not in self._binding.rules:
            return world
        kept = tuple(o for o in world.owners if o.fence == world.tenant.fence or o.act is not None)
        return world._replace(owners=kept)

    def _is_due(self, world: World) -> bool:
        """`fleet.due`."""
        if world.tenant.deleted or world.tenant.away:
            return False
        if world.tenant.failing and Rule.FAILING_DUE in self._binding.rules and not world.tenant.paused:
            return True
        if any(_left_behind(world, p) for p in world.placements) and not world.tenant.paused:
            return True
        return (world.active is not None or world.queued is not None) and not world.tenant.paused

    @staticmethod
    def _finding(world: World) -> tuple[str, str] | None:
        """What the sweep nominates: the serving resource is gone or stopped, or ill. The supervisor remembers it by
        what serves."""
        tenant, serving = world.tenant, world.tenant.serving
        if serving is None or tenant.deleted or tenant.away or tenant.paused:
            return None
        if world.active is not None or world.queued is not None:
            return None
        there = next((r for r in world.resources if r.execution == serving), None)
        if there is None:
            return serving, "gone"
        if there.state is not ResourceState.RUNNING:
            return serving, "stopped"
        return None if there.healthy else (serving, "ill")

    # --- misfortunes ---

    def _misfortunes(self, world: World) -> Iterator[Move]:
        if world.budget.rollbacks and not world.old:
            older = world._replace(old=True).spend("rollbacks")
            yield ("rolled back, the owner lives on",), older, Kind.ENVIRONMENT
            if older.owner is not None:
                yield ("rolled back, the owner is gone",), self._dead(older, older.owner), Kind.ENVIRONMENT
        if world.old and not world.tenant.deleted:
            yield ("the newer release is back",), world._replace(old=False), Kind.LUCK
        if world.budget.poisons and not world.poison:
            for act in self._case.poison:
                yield (act, "begins to fail"), world._replace(poison=act).spend("poisons"), Kind.ENVIRONMENT
        if world.poison and not self._case.elsewhere:
            yield (world.poison, "is mended"), world._replace(poison=""), Kind.OURS
        yield from self._ends_of_compute(world)

    @staticmethod
    def _ends_of_compute(world: World) -> Iterator[Move]:
        if not world.budget.kills or world.tenant.deleting:
            return
        for found in world.resources:
            if found.execution == world.tenant.serving and found.state is ResourceState.RUNNING:
                spent = world.spend("kills")
                yield ("it vanishes", found.id), spent.put(found, None), Kind.ENVIRONMENT
                ill = found._replace(healthy=False)
                yield ("it falls ill", found.id), spent.put(found, ill), Kind.ENVIRONMENT
                stopped = found._replace(state=ResourceState.STOPPED, healthy=False)
                yield ("it exits", found.id), spent.put(found, stopped), Kind.ENVIRONMENT


def _left_behind(world: World, placement: Placement) -> bool:
    """`census._left_behind`: its execution is over and does not serve."""
    row = world.of(placement.execution)
    return placement.state in LIVE and row.state.terminal and row.id != world.tenant.serving and _here(world, row)


def _here(world: World, row: Execution) -> bool:
    return row.life == world.tenant.life
