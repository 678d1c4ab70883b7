"""The executions that took longest, for operators."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Action
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago


async def slowest(database: AsyncEngine, action: Action, *, within: float, most: int) -> list[dict[str, Any]]:
    """Those that ended in the last `within` seconds, the slowest first, with the seconds of each step. Plain data.
    Reads every execution of that time: a question for a person, not for a loop."""
    executions, steps = tables.executions.c, tables.steps.c
    took = executions.ended_at - executions.created_at
    query = (
        select(
            executions.id, executions.tenant_name, executions.state, executions.engine, executions.created_at,
            executions.started_at, executions.ended_at, executions.retry_count, executions.error,
        )
        .where(executions.action == action.value, executions.ended_at > ago(within))
        .order_by(took.desc(), executions.id)
        .limit(most)
    )  # fmt: skip
    async with single(database) as connection:
        found = (await connection.execute(query)).all()
        of_steps = select(steps.execution_id, steps.name, steps.started_at, steps.ended_at).where(
            steps.execution_id.in_([row.id for row in found])
        )
        rows = (await connection.execute(of_steps.order_by(steps.position))).all()
    return [
        {
            "execution": row.id,
            "tenant": row.tenant_name,
            "state": row.state,
            "engine": row.engine,
            "seconds": (row.ended_at - row.created_at).total_seconds(),
            "queued_seconds": ((row.started_at or row.ended_at) - row.created_at).total_seconds(),
            "retries": row.retry_count,
            "ended_at": row.ended_at.isoformat(),
            "error": row.error,
            "steps": {
                step.name: (step.ended_at - step.started_at).total_seconds()
                for step in rows
                if step.execution_id == row.id and step.started_at and step.ended_at
            },
        }
        for row in found
    ]
