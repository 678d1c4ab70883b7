"""What a tenant waits for outside its own spec: which step waits, for how long it may, and the condition that says it.
Pure.

A failure that is no verdict on the spec (`errors.Retryable.waits_for`) is not counted as an attempt. The step is tried
again until it works, or until the deadline of its execution. A delete has no deadline.
"""

from collections.abc import Mapping

from controlplane.errors import WaitsFor
from controlplane.lifecycle.owner_state import Policy
from controlplane.model import Condition, ConditionType, Execution, HealthSpec, Reason, Step, StepState, TenantRows
from controlplane.text import clean

REASONS: Mapping[str, Reason] = {
    WaitsFor.PLATFORM_UNAVAILABLE: Reason.PLATFORM_UNAVAILABLE,
    WaitsFor.IMAGE_NOT_FOUND: Reason.IMAGE_NOT_FOUND,
    WaitsFor.SECRET_MISSING: Reason.SECRET_MISSING,
    WaitsFor.QUOTA_EXCEEDED: Reason.QUOTA_EXCEEDED,
    WaitsFor.NETWORK_POOL_EXHAUSTED: Reason.NETWORK_POOL_EXHAUSTED,
    WaitsFor.PORT_TAKEN: Reason.PORT_TAKEN,
    WaitsFor.ACCESS_REFUSED: Reason.ACCESS_REFUSED,
    WaitsFor.DRAINING: Reason.DRAINING,
    WaitsFor.NEWER_RELEASE: Reason.NEWER_RELEASE,
    WaitsFor.NODE_LOST: Reason.NODE_LOST,
    WaitsFor.OTHER_NODE: Reason.OTHER_NODE,
}
UNFINISHED = (StepState.RUNNING, StepState.BACKING_OFF)
DEFAULT_DEADLINE = HealthSpec().deadline_seconds


def waiting_step(rows: TenantRows) -> Step | None:
    """The step of the active execution that waits for something outside, also while it looks whether that is there."""
    return next((step for step in rows.steps if step.waits_for is not None and step.state in UNFINISHED), None)


def patience(execution: Execution, policy: Policy) -> float:
    """Seconds that a step of this execution may wait: the deadline of the tenant's own spec; if that is the default,
    the installation's."""
    own = execution.spec.health.deadline_seconds
    return policy.deadline if own == DEFAULT_DEADLINE else own


def reason_of(step: Step) -> Reason:
    """A word of a newer release is told as a platform that cannot do this now."""
    return REASONS.get(step.waits_for or "", Reason.PLATFORM_UNAVAILABLE)


def says_so(conditions: tuple[Condition, ...], step: Step | None) -> bool:
    """Whether the condition `Waiting` says what this step waits for. None: that there is no such condition."""
    said = next((condition for condition in conditions if condition.type == ConditionType.WAITING), None)
    if step is None or said is None:
        return step is None and said is None
    return (said.reason, said.message) == (reason_of(step), clean(step.error or ""))
