"""Applies the end of an execution to the row of its tenant. Called by the owner, with both rows locked."""

from datetime import datetime
from typing import Any

from controlplane.lifecycle.conditions import with_condition, without_condition
from controlplane.lifecycle.transitions import Cause
from controlplane.model import (
    Action,
    Condition,
    ConditionType,
    EventType,
    Execution,
    ExecutionState,
    Reason,
    Tenant,
    TriggerSource,
)
from controlplane.persistence import executions, tenants
from controlplane.persistence.transaction import Transaction

DELETE_RETRY_CEILING = 60.0
"""The longest wait, in seconds, between two runs of a failing delete."""


async def settle(tx: Transaction, tenant: Tenant, ended: Execution, message: str, next_engine: str) -> Tenant:
    """Write the tenant's row, for an execution that has just ended. A failed delete is followed by its next run, on
    `next_engine`."""
    values: dict[str, Any] = {"epoch": tenant.epoch + 1}
    tenant = await _waits_no_more(tx, tenant)
    if ended.action is Action.DELETE:
        if ended.state is ExecutionState.SUCCEEDED:
            return await tenants.change_status(tx, tenant, Cause.GONE, execution=ended, deleted_at=tx.now, **values)
        return await _next_delete_run(tx, tenant, ended, message, next_engine, **values)
    # Behind a run of the newest generation a redeploy of the same generation may wait: it moves the status.
    newest = ended.id == tenant.newest_execution and tenant.deletion_requested_at is None
    if ended.state is ExecutionState.SUCCEEDED:
        values["observed_generation"] = max(tenant.observed_generation, ended.generation)
        if newest:
            conditions = _all_true(tenant, tx.now)
            return await tenants.change_status(
                tx, tenant, Cause.SUCCEEDED, execution=ended, conditions=conditions, **values
            )
    elif newest and ended.state is not ExecutionState.SUPERSEDED:
        reason = Reason.CANCELLED if ended.state is ExecutionState.CANCELLED else Reason.EXECUTION_FAILED
        return await tenants.change_status(
            tx,
            tenant,
            Cause.FAILED,
            execution=ended,
            message=message,
            condition=(ConditionType.PROVISIONED, "false", reason),
            **values,
        )
    return await tenants.save(tx.connection, tenant, **values)


def is_newest(tenant: Tenant, execution: Execution) -> bool:
    """The execution belongs to the newest generation, so it moves the status of its tenant."""
    return execution.generation == tenant.generation


async def _waits_no_more(tx: Transaction, tenant: Tenant) -> Tenant:
    conditions = without_condition(tenant.conditions, ConditionType.WAITING)
    if len(conditions) == len(tenant.conditions):
        return tenant
    return await tenants.save(tx.connection, tenant, conditions=conditions)


async def _next_delete_run(
    tx: Transaction, tenant: Tenant, failed: Execution, message: str, engine: str, **values: Any
) -> Tenant:
    following = await executions.add(
        tx.connection,
        tenant,
        Action.DELETE,
        run=failed.run + 1,
        trigger_source=TriggerSource.SUPERVISOR,
        engine=engine,
        delay=min(DELETE_RETRY_CEILING, 2.0 ** min(failed.run - 1, 6)),
        request_id=failed.request_id,
    )
    tx.event(EventType.EXECUTION_QUEUED, tenant, execution=following)
    return await tenants.save(
        tx.connection,
        tenant,
        newest_execution=following.id,
        status_message=message,
        conditions=with_condition(
            tenant.conditions, ConditionType.PROVISIONED, "unknown", Reason.DELETE_FAILED, tx.now, message
        ),
        **values,
    )


def _all_true(tenant: Tenant, now: datetime) -> tuple[Condition, ...]:
    conditions = tenant.conditions
    for type, reason in (
        (ConditionType.PROVISIONED, Reason.SUCCEEDED),
        (ConditionType.HEALTHY, Reason.PROBE),
        (ConditionType.SYNCED, Reason.OBSERVED_GENERATION),
    ):
        conditions = with_condition(conditions, type, "true", reason, now)
    return conditions
