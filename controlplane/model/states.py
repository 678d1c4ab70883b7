"""The words in rows and answers: one word, one meaning."""

from collections.abc import Mapping
from enum import StrEnum


class StopCause(StrEnum):
    """The cause for stopping an active execution; it decides how the execution ends."""

    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Status(StrEnum):
    """The state of a tenant. It changes only through `transitions`."""

    REQUESTED = "requested"
    PLANNING = "planning"
    PROVISIONING = "provisioning"
    READY = "ready"
    DEGRADED = "degraded"
    UPDATING = "updating"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class Action(StrEnum):
    """The work of an execution: `provision` until the first success, then `update`; `delete`."""

    PROVISION = "provision"
    UPDATE = "update"
    DELETE = "delete"


class ExecutionState(StrEnum):
    """A `queued` execution never reached an engine; a `starting` one may have. The API shows both as pending."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def active(self) -> bool:
        return self in ACTIVE

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


ACTIVE = frozenset({ExecutionState.STARTING, ExecutionState.RUNNING, ExecutionState.STOPPING})
CURRENT = frozenset({ExecutionState.STARTING, ExecutionState.RUNNING})
"""The states that the gate lets through. A runner may act only while its execution's row is in one of them."""
UNFINISHED = ACTIVE | {ExecutionState.QUEUED}
TERMINAL = frozenset(
    {ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELLED, ExecutionState.SUPERSEDED}
)
RELEASED = TERMINAL | {ExecutionState.STOPPING}
"""The execution's resource may be removed, unless it serves. This fact is stable: no execution leaves these states, and
there is no switch to an execution in one of them."""


class SubState(StrEnum):
    """The engine's progress on an execution, in words that fit all engines."""

    RUNNING = "running"
    WAITING = "waiting"
    BACKING_OFF = "backing-off"
    ERROR = "error"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        return self in (SubState.SUCCEEDED, SubState.FAILED, SubState.CANCELLED)


class TriggerSource(StrEnum):
    API = "api"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"


class StepName(StrEnum):
    PLAN = "plan"
    APPLY_COMPUTE = "apply_compute"
    WAIT_HEALTHY = "wait_healthy"
    RETIRE_PREVIOUS = "retire_previous"
    DESTROY_COMPUTE = "destroy_compute"
    VERIFY_GONE = "verify_gone"


STEPS: Mapping[Action, tuple[StepName, ...]] = {
    Action.PROVISION: (StepName.PLAN, StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY, StepName.RETIRE_PREVIOUS),
    Action.UPDATE: (StepName.PLAN, StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY, StepName.RETIRE_PREVIOUS),
    Action.DELETE: (StepName.DESTROY_COMPUTE, StepName.VERIFY_GONE),
}


class PlacementState(StrEnum):
    """`intended` is written before the effect, `placed` after it. `abandoned`: the tenant was deleted by force."""

    INTENDED = "intended"
    PLACED = "placed"
    REMOVED = "removed"
    ABANDONED = "abandoned"


LIVE = frozenset({PlacementState.INTENDED, PlacementState.PLACED})
"""A resource may exist, and it is ours to remove."""


class ClusterState(StrEnum):
    """The state of a cluster, which is one start of the head. A `draining` one begins nothing new and gives its tenants
    up; an `ended` one never comes back."""

    ACTIVE = "active"
    DRAINING = "draining"
    ENDED = "ended"


class NodeDrain(StrEnum):
    """What a node gives up because an operator drains it: its actors, or its tenants too. It gets no new ones."""

    ACTORS = "actors"
    TENANTS = "tenants"


class StepState(StrEnum):
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
