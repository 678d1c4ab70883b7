"""The drain of an update: for a while after the switch, what was replaced runs on. Pure.

The time is in the row of the execution that serves, so it outlives owners and engines. A delete does not wait for it.
"""

from controlplane.lifecycle.due import until
from controlplane.model import ExecutionState, Placement, TenantRows


def drains(rows: TenantRows, placement: Placement) -> bool:
    """This resource served before the one that serves now, and its time is not over."""
    serving, execution = rows.serving, rows.find(placement.execution_id)
    if serving is None or serving.drains_until is None or execution is None or rows.now >= serving.drains_until:
        return False
    # An execution that served has succeeded: what others left behind is no use to anybody.
    return execution.state is ExecutionState.SUCCEEDED and execution.order < serving.order


def drain_left(rows: TenantRows) -> float | None:
    """Seconds until the last drain is over. None: nothing drains."""
    serving = rows.serving
    if serving is None or not any(drains(rows, placement) for placement in rows.placements):
        return None
    return until(serving.drains_until, rows.now)
