"""What must hold: of each state, of each move, and where nothing moves any more."""

from controlplane.model import ExecutionState, Status
from controlplane.ports import ResourceState
from tests.model.case import Case, Kind
from tests.model.runners import LIVE
from tests.model.world import Budget, Execution, Placement, World

LIFE = (ExecutionState.QUEUED, ExecutionState.STARTING, ExecutionState.RUNNING, ExecutionState.STOPPING)


def of_state(world: World) -> str | None:
    tenant = world.tenant
    if sum(e.state.active for e in world.executions) > 1:
        return "two executions are active"
    if sum(e.state is ExecutionState.QUEUED for e in world.executions) > 1:
        return "two executions are queued"
    serving = world.find(tenant.serving)
    if serving and serving.state.terminal and serving.state is not ExecutionState.SUCCEEDED and not tenant.deleted:
        return "what took the switch did not succeed"
    newest = tenant.observed == tenant.generation and serving is not None and serving.generation == tenant.generation
    if tenant.status is Status.READY and not newest:
        return "ready, and not at the newest generation"
    if (
        tenant.status is Status.READY
        and serving is not None
        and any(_replaced(world, p, serving) for p in world.placements)
    ):
        return "ready, and what was replaced is there"
    return None


def of_move(before: World, after: World, kind: Kind, *, zombie: bool, older: bool) -> str | None:
    """`zombie`: made by an owner that has lost its lease; `older`: by one of the older release."""
    if older and not before.tenant.deleting and _unreadable(before) and _written(before) != _written(after):
        return "an older release acted on what it cannot read"
    if after.tenant.serving != before.tenant.serving and not _answered(after):
        return "what has never answered its probe took the switch"
    if zombie and (before.tenant, before.executions) != (after.tenant, after.executions):
        return "a zombie wrote rows"
    if before.executions is not after.executions:
        for was in before.executions:
            now = after.find(was.id)
            if now is None or (now.state is not was.state and not _goes_on(was.state, now.state)):
                return "an execution went back, or ended twice"
    queued = after.queued
    if queued is not None and queued.heal and before.find(queued.id) is None:
        serving = before.find(before.tenant.serving)
        if serving is None or serving.generation != queued.generation:
            return "a heal is of another generation than what serves"
    removed = _serves(before) and not _present(after, before.tenant.serving)
    if removed and kind is not Kind.ENVIRONMENT and not before.tenant.deleting:
        return "the serving resource was removed"
    return None


def at_rest(world: World, case: Case) -> str | None:
    """Nothing moves any more by itself."""
    tenant = world.tenant
    if tenant.deleted:
        if world.resources:
            return "deleted, and a resource is left"
        if any(p.state in LIVE for p in world.placements):
            return "deleted, and a placement says that something is there"
        return None
    if tenant.failing is not None:
        return "it rests, and says that its turns fail"
    here = [p for p in world.placements if p.state in LIVE]
    if [p for p in here if p.execution != tenant.serving]:
        return "a placement is left"
    if [r for r in world.resources if r.execution != tenant.serving]:
        return "a resource is left"
    running = [r for r in world.resources if r.state is ResourceState.RUNNING]
    match tenant.status:
        case Status.READY:
            return None if len(running) == 1 else "ready, and it does not run"
        case Status.FAILED:
            if tenant.serving is not None and not (len(running) == 1 and running[0].healthy):
                return "what served before an update failed does not run"
            reasons = ("failures", "cancels", "deadlines", "silences", "lies", "errors")
            return None if any(_spent(world, case, why) for why in reasons) else "it failed, and nothing was wrong"
        case Status.DEGRADED:
            return None if tenant.budget_spent else "degraded, and nobody heals it"
    return f"it rests while it is {tenant.status}"


def _replaced(world: World, placement: Placement, serving: Execution) -> bool:
    return placement.state in LIVE and world.of(placement.execution).order < serving.order


def _unreadable(world: World) -> bool:
    return any(e.newer and (not e.state.terminal or e.id == world.tenant.serving) for e in world.executions)


def _written(world: World) -> tuple[object, ...]:
    """What an owner may write, but for why it leaves."""
    return world.tenant.status, world.tenant.observed, world.executions


def _answered(world: World) -> bool:
    """What serves has been healthy, or is not there any more."""
    return all(r.healthy for r in world.resources if r.execution == world.tenant.serving)


def _goes_on(was: ExecutionState, now: ExecutionState) -> bool:
    if was.terminal:
        return False
    return now.terminal or LIFE.index(now) == LIFE.index(was) + 1 or now is ExecutionState.STOPPING


def _serves(world: World) -> bool:
    return world.tenant.serving is not None and _present(world, world.tenant.serving)


def _present(world: World, execution: str | None) -> bool:
    return any(r.execution == execution for r in world.resources)


def _spent(world: World, case: Case, what: str) -> bool:
    budget: Budget = world.budget
    return bool(getattr(budget, what) < getattr(case.budget, what))
