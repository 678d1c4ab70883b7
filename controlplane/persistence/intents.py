"""The API's writes. An intent is one transaction with tenant, queued execution, event and a signal.

The overlap rule on arrival is split: a queued execution is superseded by the newer one here, an active one in
`reconcile`. Raises Refused with the codes in `docs/api.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Text, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from controlplane.errors import Refused
from controlplane.lifecycle.conditions import with_condition
from controlplane.lifecycle.transitions import Cause
from controlplane.model import (
    LIVE,
    Action,
    ConditionType,
    EventType,
    Execution,
    ExecutionState,
    PlacementState,
    Reason,
    Status,
    Tenant,
    TenantSpec,
    TriggerSource,
    execution_id,
)
from controlplane.persistence import executions, nodes, quotas, rows, tables, tenants
from controlplane.persistence.paused import pause_columns
from controlplane.persistence.prepared import Prepared
from controlplane.persistence.quotas import Quota
from controlplane.persistence.transaction import Transaction

RECONCILED_AGAIN = timedelta(seconds=10)

_CREATED = ("id", "name", "labels", "annotations", "spec", "newest_execution", "created_by")
_CREATE = Prepared(
    insert(tables.tenants)
    .values({name: bindparam(f"new_{name}", type_=tables.tenants.c[name].type) for name in _CREATED})
    .values(status=Status.REQUESTED, epoch=1)
    .returning(
        tables.tenants,
        *pause_columns(bindparam("compute", type_=Text), bindparam("engine", type_=Text)),
    )
)


@dataclass(frozen=True, slots=True)
class Intent:
    """A tenant after the request, and its newest execution. `created` False: no new execution was queued."""

    tenant: Tenant
    execution: Execution
    created: bool


async def create(
    tx: Transaction,
    *,
    name: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    spec: TenantSpec,
    default_workflow: str,
    tenant_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
    quota: Quota | None = None,
) -> Intent:
    """Insert tenant, first execution and event. `detail` adds to the event's data.

    Raises Refused tenant_exists (also while a tenant with that name is being deleted), quota_exceeded, and those of
    `nodes.require`."""
    id = tenant_id or uuid4()
    engine = workflow_of(spec, default_workflow)
    try:
        row = await _CREATE.one(
            tx.connection,
            new_id=id,
            new_name=name,
            new_labels=dict(labels),
            new_annotations=dict(annotations),
            new_spec=spec.canonical(),
            new_newest_execution=execution_id(name, Action.PROVISION, 1, id),
            new_created_by=tx.token_id,
            compute=spec.compute.provider,
            engine=engine,
        )
    except IntegrityError as error:
        if "tenants_name_live" not in str(error.orig):
            raise
        raise Refused(
            f"there is a tenant {name!r} already; choose another name, or wait until it is deleted",
            code="tenant_exists",
            status=409,
        ) from None
    if quota is not None:
        await quotas.require(tx, quota)
    tenant = rows.tenant(row)
    await nodes.require(tx.connection, spec, engine)
    execution = await executions.add(
        tx.connection,
        tenant,
        Action.PROVISION,
        trigger_source=TriggerSource.API,
        engine=engine,
        request_id=tx.request_id,
    )
    tx.event(EventType.TENANT_CREATED, tenant, execution=execution, data={"generation": 1, **(detail or {})})
    tx.wake(tenant.id, tenant.name)
    return Intent(tenant, execution, created=True)


async def patch(
    tx: Transaction,
    tenant: Tenant,
    *,
    spec: TenantSpec,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    default_workflow: str,
    detail: Mapping[str, Any] | None = None,
) -> Intent:
    """Apply the merged result to a locked tenant. A changed spec is a new generation with its execution. Changed labels
    or annotations only raise the version. No change writes nothing. `detail` adds to the event's data.

    Raises Refused invalid_transition once deletion was asked for, and those of `nodes.require`."""
    refuse_if_deleting(tenant)
    metadata_changed = dict(labels) != dict(tenant.labels) or dict(annotations) != dict(tenant.annotations)
    # By hash: to Python, 1, true and 1.0 are equal.
    if spec.hash == tenant.spec.hash:
        if metadata_changed:
            tenant = await tenants.save(
                tx.connection,
                tenant,
                labels=dict(labels),
                annotations=dict(annotations),
                version=tenant.version + 1,
            )
            tx.event(EventType.TENANT_METADATA_CHANGED, tenant, data=detail)
        return Intent(tenant, await newest_execution(tx, tenant), created=False)
    if spec.placement != tenant.spec.placement:
        await nodes.require(tx.connection, spec, workflow_of(spec, default_workflow))
    action = Action.UPDATE if tenant.observed_generation > 0 else Action.PROVISION
    return await _new_generation(
        tx,
        tenant,
        action,
        Cause.SPEC_ACCEPTED,
        EventType.TENANT_UPDATED,
        default_workflow,
        detail,
        spec=spec,
        labels=dict(labels),
        annotations=dict(annotations),
    )


async def delete(tx: Transaction, tenant: Tenant, *, default_workflow: str) -> Intent:
    """Ask for the deletion of a locked tenant. If asked again, return the newest delete run."""
    if tenant.deletion_requested_at is not None:
        return Intent(tenant, await newest_execution(tx, tenant), created=False)
    return await _new_generation(
        tx,
        tenant,
        Action.DELETE,
        Cause.DELETE_ACCEPTED,
        EventType.TENANT_DELETION_REQUESTED,
        default_workflow,
        deletion_requested_at=tx.now,
    )


async def retry(tx: Transaction, tenant: Tenant, *, default_workflow: str) -> Intent:
    """Queue the next run of the newest generation, which failed or was cancelled. It overtakes a queued heal of an
    older one.

    Raises Refused invalid_transition."""
    refuse_if_deleting(tenant)
    newest = await newest_execution(tx, tenant)
    if tenant.status not in (Status.FAILED, Status.DEGRADED) or newest.state not in _RETRIED:
        raise Refused.invalid_transition(f"tenant {tenant.name!r} is {tenant.status}: there is nothing to retry")
    return await _next_run(tx, tenant, Cause.RETRY_ACCEPTED, EventType.TENANT_RETRIED, default_workflow)


_RETRIED = (ExecutionState.FAILED, ExecutionState.CANCELLED)


async def redeploy(tx: Transaction, tenant: Tenant, *, default_workflow: str) -> Intent:
    """Queue the next run of the newest generation of a locked tenant, whatever became of the last one. Its image is
    pulled again, and the resource that serves is replaced once the new one is healthy.

    Raises Refused invalid_transition once deletion was asked for."""
    refuse_if_deleting(tenant)
    return await _next_run(
        tx, tenant, Cause.REDEPLOY_ACCEPTED, EventType.TENANT_REDEPLOYED, default_workflow, fresh=True
    )


async def restart(tx: Transaction, tenant: Tenant, *, default_workflow: str) -> Intent:
    """Queue a restart of what serves a locked tenant, in place: a run of the generation that serves. While another
    execution is queued or under way, that one starts the tenant anew, and is the answer.

    Raises Refused invalid_transition once deletion was asked for, or if nothing serves."""
    refuse_if_deleting(tenant)
    for find in (executions.find_queued, executions.find_active):
        unfinished = await find(tx.connection, tenant.id)
        if unfinished is not None and unfinished.id != tenant.serving_execution:
            return Intent(tenant, unfinished, created=False)
    if tenant.serving_execution is None:
        raise Refused.invalid_transition(
            f"tenant {tenant.name!r} is {tenant.status}, and nothing of it runs that could be restarted; retry it"
        )
    serving = await executions.lock(tx.connection, tenant.serving_execution)
    assert serving is not None, "tenants.serving_execution always names a row"
    return await _run_serving(
        tx, tenant, serving, TriggerSource.API, EventType.TENANT_RESTARTED, default_workflow, in_place=True
    )


async def move(tx: Transaction, tenant: Tenant, serving: Execution, *, default_workflow: str) -> Intent:
    """Queue a run of the generation that serves a locked tenant at rest, on another node: the one that it is on gives
    its tenants up. The tenant serves on until the new resource is healthy."""
    return await _run_serving(tx, tenant, serving, TriggerSource.SUPERVISOR, EventType.TENANT_MOVED, default_workflow)


async def cancel(tx: Transaction, tenant: Tenant, execution: Execution) -> Execution:
    """Ask for the end of an unfinished execution of a locked tenant; its owner stops it.

    Raises Refused invalid_transition if the execution has ended or serves already, or if the tenant is being
    deleted."""
    refuse_if_deleting(tenant)
    if execution.state.terminal:
        raise Refused.invalid_transition(f"execution {execution.id!r} has ended: {execution.state}")
    if tenant.serving_execution == execution.id:
        raise Refused.invalid_transition(f"execution {execution.id!r} serves the tenant already and can only succeed")
    if execution.cancel_requested_at is None:
        execution = await executions.save(tx.connection, execution, cancel_requested_at=func.clock_timestamp())
        tx.event(EventType.EXECUTION_CANCEL_REQUESTED, tenant, execution=execution)
        tx.wake(tenant.id, tenant.name)
    return execution


async def reconcile(tx: Transaction, tenant: Tenant) -> None:
    """Ask the owner of a locked tenant to compare it with reality. Requests that follow each other closely add one
    event: the owner is woken each time, and the trail does not grow by what changes nothing."""
    trail = tables.events.c
    newest = select(trail.type, trail.at).where(trail.tenant_id == tenant.id).order_by(trail.id.desc()).limit(1)
    last = (await tx.connection.execute(newest)).first()
    if last is not None and last.type == EventType.TENANT_RECONCILE_REQUESTED and tx.now - last.at < RECONCILED_AGAIN:
        return
    tx.event(EventType.TENANT_RECONCILE_REQUESTED, tenant)
    tx.wake(tenant.id, tenant.name)


async def force_delete(tx: Transaction, tenant: Tenant) -> Tenant:
    """Mark a locked tenant as deleted, whatever its compute does: placements are recorded as abandoned, executions
    end."""
    unfinished = [
        found
        for find in (executions.find_queued, executions.find_active)
        if (found := await find(tx.connection, tenant.id)) is not None
    ]
    for execution in unfinished:
        why = "the tenant was deleted by force"
        ended = await executions.save(
            tx.connection, execution, state=ExecutionState.CANCELLED, error=why, ended_at=func.clock_timestamp()
        )
        tx.event(EventType.EXECUTION_CANCELLED, tenant, execution=ended, message=why)
    abandoned = await tx.connection.execute(
        tables.placements.update()
        .where(tables.placements.c.tenant_id == tenant.id, tables.placements.c.state.in_(LIVE))
        .values(state=PlacementState.ABANDONED)
        .returning(tables.placements.c.name)
    )
    tenant = await tenants.change_status(
        tx, tenant, Cause.DELETE_ACCEPTED, deletion_requested_at=tenant.deletion_requested_at or tx.now
    )
    tenant = await tenants.change_status(
        tx, tenant, Cause.GONE, deleted_at=tx.now, epoch=tenant.epoch + 1, fence=tenant.fence + 1
    )
    tx.event(EventType.TENANT_FORCE_DELETED, tenant, data={"abandoned": [row.name for row in abandoned]})
    tx.wake(tenant.id, tenant.name)
    return tenant


def refuse_if_deleting(tenant: Tenant) -> None:
    if tenant.deletion_requested_at is not None:
        raise Refused.invalid_transition(f"tenant {tenant.name!r} is being deleted; that cannot be undone")


def workflow_of(spec: TenantSpec, default: str) -> str:
    return spec.workflow.provider if spec.workflow else default


async def newest_execution(tx: Transaction, tenant: Tenant) -> Execution:
    execution = await executions.lock(tx.connection, tenant.newest_execution)
    assert execution is not None, "tenants.current_execution always names a row"
    return execution


async def _run_serving(
    tx: Transaction,
    tenant: Tenant,
    serving: Execution,
    source: TriggerSource,
    event: EventType,
    default_workflow: str,
    *,
    in_place: bool = False,
) -> Intent:
    """Queue the next run of the generation that serves, and move the status."""
    execution = await executions.add(
        tx.connection,
        tenant,
        Action.UPDATE,
        run=await executions.next_run(tx.connection, tenant.id, serving.generation),
        trigger_source=source,
        engine=workflow_of(serving.spec, default_workflow),
        again=serving,
        in_place=in_place,
        request_id=tx.request_id,
    )
    epoch = tenant.epoch + 1
    if serving.generation == tenant.generation:
        tenant = await tenants.change_status(
            tx, tenant, Cause.REDEPLOY_ACCEPTED, execution=execution, newest_execution=execution.id, epoch=epoch
        )
    else:  # the newest generation failed, and stays so
        tenant = await tenants.save(tx.connection, tenant, epoch=epoch)
    tx.event(event, tenant, execution=execution)
    tx.wake(tenant.id, tenant.name)
    return Intent(tenant, execution, created=True)


async def _next_run(
    tx: Transaction, tenant: Tenant, cause: Cause, event: EventType, default_workflow: str, *, fresh: bool = False
) -> Intent:
    """Supersede the queued execution, queue the next run of the newest generation, and move the status."""
    action = Action.UPDATE if tenant.observed_generation > 0 else Action.PROVISION
    run = await executions.next_run(tx.connection, tenant.id, tenant.generation)
    engine = workflow_of(tenant.spec, default_workflow)
    execution, overtaken = await executions.overtake(
        tx.connection, tenant, action, run=run, engine=engine, fresh=fresh, request_id=tx.request_id
    )
    tenant = await tenants.change_status(
        tx, tenant, cause, execution=execution, newest_execution=execution.id, epoch=tenant.epoch + 1
    )
    tx.event(event, tenant, execution=execution)
    if overtaken is not None:
        tx.event(EventType.EXECUTION_SUPERSEDED, tenant, execution=overtaken, data={"superseded_by": execution.id})
    tx.wake(tenant.id, tenant.name)
    return Intent(tenant, execution, created=True)


async def _new_generation(
    tx: Transaction,
    tenant: Tenant,
    action: Action,
    cause: Cause,
    event: EventType,
    default_workflow: str,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> Intent:
    """Raise generation and version by 1, supersede the older queued execution, queue the new one, and move the
    status."""
    before = tenant
    id = execution_id(tenant.name, action, tenant.generation + 1, tenant.id)
    tenant = await tenants.change_status(
        tx,
        tenant,
        cause,
        **values,
        generation=tenant.generation + 1,
        version=tenant.version + 1,
        epoch=tenant.epoch + 1,
        newest_execution=id,
        conditions=with_condition(tenant.conditions, ConditionType.SYNCED, "false", Reason.ACCEPTED, tx.now),
    )
    engine = workflow_of(tenant.spec, default_workflow)
    execution, overtaken = await executions.overtake(
        tx.connection, tenant, action, engine=engine, request_id=tx.request_id
    )
    tx.event(event, tenant, execution=execution, data={"from_generation": before.generation, **(detail or {})})
    if overtaken is not None:
        tx.event(EventType.EXECUTION_SUPERSEDED, tenant, execution=overtaken, data={"superseded_by": execution.id})
    tx.wake(tenant.id, tenant.name)
    return Intent(tenant, execution, created=True)
