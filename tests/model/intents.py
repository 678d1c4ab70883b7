"""What clients may ask: the guards of `controlplane.persistence.intents` and `.pauses`, on the model's rows.

None: refused, as there. Statuses move through the real `transitions`.
"""

from controlplane.lifecycle.transitions import Cause, move
from controlplane.model import LIVE, Action, ExecutionState, PlacementState, Status
from tests.model.binding import Binding
from tests.model.rules import Rule
from tests.model.world import LIVES, Execution, Owner, Tenant, World


def patch(world: World, binding: Binding) -> World | None:
    """`intents.patch` with a changed spec."""
    if world.tenant.deleting:
        return None
    return _new_generation(world, binding, _next_action(world), Cause.SPEC_ACCEPTED)


def patch_of_newer(world: World, binding: Binding) -> World | None:
    """The same by a client of the newer release, with a part of the spec that the older one cannot read."""
    after = None if world.old else patch(world, binding)
    return None if after is None else after.save(after.tenant.current, newer=True)


def delete(world: World, binding: Binding) -> World | None:
    """`intents.delete`."""
    if world.tenant.deleting:
        return None
    return _new_generation(world, binding, Action.DELETE, Cause.DELETE_ACCEPTED)


def retry(world: World, binding: Binding) -> World | None:
    """`intents.retry`."""
    tenant = world.tenant
    newest = world.of(tenant.current)
    if tenant.deleting or tenant.status not in (Status.FAILED, Status.DEGRADED):
        return None
    if newest.state not in (ExecutionState.FAILED, ExecutionState.CANCELLED):
        return None
    if world.queued is not None:  # a heal of an older generation
        world = world.save(world.queued.id, state=ExecutionState.SUPERSEDED)
    world = queue(world, binding, _next_action(world), next_run(world))
    return world.of_tenant(status=move(tenant.status, Cause.RETRY_ACCEPTED))


def cancel(world: World, execution: Execution) -> World | None:
    """`intents.cancel`."""
    if world.tenant.deleting or execution.state.terminal or world.tenant.serving == execution.id or execution.cancel:
        return None
    return world.save(execution.id, cancel=True)


def force_delete(world: World) -> World | None:
    """`intents.force_delete`: the row is closed whatever its compute, and no owner's fence holds any more."""
    tenant = world.tenant
    if tenant.deleted:
        return None
    for execution in (world.queued, world.active):
        if execution is not None:
            world = world.save(execution.id, state=ExecutionState.CANCELLED)
    for placement in world.placements:
        if placement.state in LIVE:
            world = world.place(placement._replace(state=PlacementState.ABANDONED))
    status = move(move(tenant.status, Cause.DELETE_ACCEPTED), Cause.GONE)
    return world.of_tenant(status=status, deleting=True, fence=tenant.fence + 1).bump()


def pause(world: World) -> World | None:
    """`pauses.pause`."""
    return None if world.tenant.paused or world.tenant.deleted else world.of_tenant(paused=True)


def resume(world: World) -> World:
    """`pauses.resume`."""
    return world.of_tenant(paused=False)


def create_again(world: World, binding: Binding) -> World | None:
    """`intents.create` under the name of a tenant that was deleted: the unique index lets it."""
    before = world.tenant
    life = before.life + 1
    if not before.deleted or life == len(LIVES):
        return None
    tenant = Tenant(life=life, past=(*before.past, before.serving))
    return queue(world._replace(tenant=tenant, owners=(Owner(cluster=0, fence=1),)), binding, Action.PROVISION, 1)


def queue(
    world: World, binding: Binding, action: Action, run: int, *, heal: bool = False, generation: int | None = None
) -> World:
    """`executions.add`, and the epoch's step. `generation`: an older one than the newest; it is not the newest then."""
    tenant = world.tenant
    of = tenant.generation if generation is None else generation
    id = binding.learn(tenant.life, action, of, run)
    same_spec = (e for e in world.executions if (e.life, e.generation) == (tenant.life, of))
    newer = action is not Action.DELETE and any(e.newer for e in same_spec)
    added = Execution(id, tenant.life, action, of, run, heal=heal, newer=newer)
    rows = tuple(sorted((*world.executions, added), key=lambda e: e.order))
    newest = id if of == tenant.generation else tenant.current
    return world._replace(executions=rows, tenant=tenant._replace(current=newest, away=False)).bump()


def next_run(world: World, generation: int | None = None) -> int:
    """`executions.next_run`."""
    life, of = world.tenant.life, world.tenant.generation if generation is None else generation
    return max(e.run for e in world.executions if (e.life, e.generation) == (life, of)) + 1


def _next_action(world: World) -> Action:
    return Action.UPDATE if world.tenant.observed > 0 else Action.PROVISION


def _new_generation(world: World, binding: Binding, action: Action, cause: Cause) -> World:
    """`intents._new_generation`: the older queued one is superseded, the status moves with the intent."""
    tenant = world.tenant
    if world.queued is not None:
        world = world.save(world.queued.id, state=ExecutionState.SUPERSEDED)
    status = move(tenant.status, cause) if Rule.STATUS_WITH_INTENT in binding.rules else tenant.status
    world = world.of_tenant(
        generation=tenant.generation + 1, status=status, deleting=tenant.deleting or action is Action.DELETE
    )
    return queue(world, binding, action, 1)
