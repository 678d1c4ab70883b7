"""What an owner may write: the guards of `controlplane.persistence.owned_tenant` and `.leases`, on the model's rows.

None: the guard found that things have moved on, and nothing is written. The fence is checked by who calls (`owner`).
"""

from controlplane.lifecycle.transitions import STARTED, Cause, move
from controlplane.model import CURRENT, Action, ExecutionState, StopCause
from tests.model import intents
from tests.model.binding import Binding
from tests.model.rules import Rule
from tests.model.world import Lease, Owner, World


def promote(world: World, binding: Binding, id: str) -> World | None:
    """`OwnedTenant.promote`; that nothing else is active is the unique index's to guarantee."""
    execution = world.of(id)
    if execution.state is not ExecutionState.QUEUED or world.tenant.paused:
        return None
    if world.active is not None and Rule.ONE_ACTIVE in binding.rules:
        return None
    status = world.tenant.status
    if execution.generation == world.tenant.generation:  # a heal of an older one leaves the status
        status = move(status, STARTED[execution.action])
    return world.save(id, state=ExecutionState.STARTING).of_tenant(status=status).bump()


def running(world: World, id: str) -> World | None:
    """`OwnedTenant.running`."""
    if world.of(id).state is not ExecutionState.STARTING:
        return None
    return world.save(id, state=ExecutionState.RUNNING)


def stop(world: World, binding: Binding, id: str, cause: StopCause) -> World | None:
    """`OwnedTenant.stop`."""
    if world.tenant.serving == id and Rule.NOT_STOPPED in binding.rules:
        return None
    if world.of(id).state not in CURRENT:
        return None
    return world.save(id, state=ExecutionState.STOPPING, cause=cause)


def finish(world: World, binding: Binding, id: str, outcome: ExecutionState) -> World | None:
    """`OwnedTenant.finish` and `_after`."""
    execution, tenant = world.of(id), world.tenant
    if execution.state.terminal:
        return None
    if tenant.serving == id and outcome is not ExecutionState.SUCCEEDED and Rule.ONLY_SUCCESS in binding.rules:
        return None
    world = world.save(id, state=outcome).bump()
    if execution.action is Action.DELETE:
        if outcome is ExecutionState.SUCCEEDED:
            return world.of_tenant(status=move(tenant.status, Cause.GONE))
        if Rule.DELETE_AGAIN not in binding.rules:
            return world
        return intents.queue(world, binding, Action.DELETE, execution.run + 1)
    newest = execution.generation == tenant.generation and not tenant.deleting
    if outcome is ExecutionState.SUCCEEDED:
        world = world.of_tenant(observed=max(tenant.observed, execution.generation))
        if newest:
            world = world.of_tenant(status=move(tenant.status, Cause.SUCCEEDED), budget_spent=False)
    elif newest and outcome is not ExecutionState.SUPERSEDED:
        world = world.of_tenant(status=move(tenant.status, Cause.FAILED))
    return world


def observed(world: World, binding: Binding, cause: Cause, *, fresh: bool, budget_spent: bool = False) -> World | None:
    """`OwnedTenant.observed` with a cause; `fresh`: the epoch is that of the look."""
    if not fresh and Rule.EPOCH in binding.rules:
        return None
    return world.of_tenant(status=move(world.tenant.status, cause), budget_spent=budget_spent)


def heal(world: World, binding: Binding, *, fresh: bool) -> World | None:
    """`OwnedTenant.heal`; a second queued one is refused by the unique index."""
    if (not fresh and Rule.EPOCH in binding.rules) or world.queued is not None:
        return None
    serving = world.of(world.tenant.serving or "").generation
    of = serving if Rule.OWN_SNAPSHOT in binding.rules else world.tenant.generation
    run = intents.next_run(world, of)
    world = intents.queue(world, binding, Action.UPDATE, run, heal=True, generation=of)
    return world.of_tenant(status=move(world.tenant.status, Cause.UNHEALTHY), budget_spent=False)


def acquire(world: World, binding: Binding, cluster: int) -> World | None:
    """`leases.acquire` by a new actor of that cluster. Fences are numbered anew, since only their order matters."""
    tenant = world.tenant
    respected = Rule.LEASE_RESPECTED in binding.rules
    if tenant.deleted or (tenant.lease is Lease.VALID and tenant.cluster != cluster and respected):
        return None
    fence = tenant.fence + 1
    known = sorted({fence, *(o.fence for o in world.owners), *(r.holder for r in world.runners if r.holder > 0)})
    anew = {old: new for new, old in enumerate(known, start=1)}
    owners = [o._replace(fence=anew[o.fence]) for o in world.owners]
    runners = [r._replace(holder=anew.get(r.holder, r.holder)) for r in world.runners]
    return world._replace(
        tenant=tenant._replace(fence=anew[fence], lease=Lease.VALID, cluster=cluster, away=False),
        owners=(*owners, Owner(cluster=cluster, fence=anew[fence], old=world.old)),
        runners=tuple(sorted(runners)),
    )


def renew(world: World, owner: Owner) -> World | None:
    """`leases.renew`: also of an expired lease that nobody took."""
    if owner.fence != world.tenant.fence or world.tenant.lease is not Lease.EXPIRED:
        return None
    return world.of_tenant(lease=Lease.VALID)


def release(world: World, owner: Owner) -> World:
    """`leases.release`."""
    if owner.fence != world.tenant.fence:
        return world
    return world.of_tenant(lease=Lease.FREE)


def give_up(world: World, owner: Owner, at: str) -> World:
    """`leases.give_up`."""
    if owner.fence != world.tenant.fence:
        return world
    return world.of_tenant(lease=Lease.FREE, failing=at, away=True)


def passed(world: World, *points: str) -> World:
    """`OwnedTenant.fails_no_more`, once that at which turns failed has succeeded; without any point, all has."""
    return world.of_tenant(failing=None) if not points or world.tenant.failing in points else world
