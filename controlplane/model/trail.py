"""Words that clients branch on: the types of events, and the types and reasons of conditions.

`docs/events.md` explains each; a test keeps the page and these enums equal. Words read back from rows stay `str`:
another release may have written them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from controlplane.model.states import ExecutionState

Truth = Literal["true", "false", "unknown"]
"""The status of a condition."""


class EventType(StrEnum):
    """The type of a line of the audit trail: its noun, and what happened to it."""

    TENANT_CREATED = "tenant.created"
    TENANT_UPDATED = "tenant.updated"
    TENANT_METADATA_CHANGED = "tenant.metadata_changed"
    TENANT_DELETION_REQUESTED = "tenant.deletion_requested"
    TENANT_FORCE_DELETED = "tenant.force_deleted"
    TENANT_RETRIED = "tenant.retried"
    TENANT_REDEPLOYED = "tenant.redeployed"
    TENANT_RESTARTED = "tenant.restarted"
    TENANT_MOVED = "tenant.moved"
    TENANT_RECONCILE_REQUESTED = "tenant.reconcile_requested"
    TENANT_COMMAND_RUN = "tenant.command_run"
    TENANT_PAUSED = "tenant.paused"
    TENANT_RESUMED = "tenant.resumed"
    TENANT_STATUS = "tenant.status"
    TENANT_SWITCHED = "tenant.switched"
    TENANT_HEALING = "tenant.healing"

    EXECUTION_QUEUED = "execution.queued"
    EXECUTION_STARTING = "execution.starting"
    EXECUTION_TRIGGER_FAILED = "execution.trigger_failed"
    EXECUTION_RUNNING = "execution.running"
    EXECUTION_PROGRESS = "execution.progress"
    EXECUTION_CANCEL_REQUESTED = "execution.cancel_requested"
    EXECUTION_STOPPING = "execution.stopping"
    EXECUTION_SUCCEEDED = "execution.succeeded"
    EXECUTION_FAILED = "execution.failed"
    EXECUTION_CANCELLED = "execution.cancelled"
    EXECUTION_SUPERSEDED = "execution.superseded"

    STEP_SUCCEEDED = "step.succeeded"
    STEP_FAILED = "step.failed"
    STEP_WAITING = "step.waiting"

    ORPHAN_FOUND = "orphan.found"
    ORPHAN_REMOVED = "orphan.removed"
    BELONGINGS_HELD = "belongings.held"

    PAUSE_SET = "pause.set"
    PAUSE_LIFTED = "pause.lifted"
    CLUSTER_DRAINING = "cluster.draining"
    CLUSTER_TAKEN_OVER = "cluster.taken_over"
    CLUSTER_ACTIVE = "cluster.active"
    NODE_DRAINING = "node.draining"
    NODE_ACTIVE = "node.active"
    TOKEN_CREATED = "token.created"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_REPLACED = "token.replaced"


ENDED: Mapping[ExecutionState, EventType] = {
    ExecutionState.SUCCEEDED: EventType.EXECUTION_SUCCEEDED,
    ExecutionState.FAILED: EventType.EXECUTION_FAILED,
    ExecutionState.CANCELLED: EventType.EXECUTION_CANCELLED,
    ExecutionState.SUPERSEDED: EventType.EXECUTION_SUPERSEDED,
}
"""The event for each end of an execution."""


class ConditionType(StrEnum):
    """The subject of a condition."""

    TRIGGERED = "Triggered"
    PROVISIONED = "Provisioned"
    HEALTHY = "Healthy"
    SYNCED = "Synced"
    RECONCILED = "Reconciled"
    WAITING = "Waiting"


class Reason(StrEnum):
    """The reason for a condition's status."""

    STARTING = "Starting"
    STARTED = "Started"
    TRIGGER_FAILED = "TriggerFailed"

    SUCCEEDED = "Succeeded"
    EXECUTION_FAILED = "ExecutionFailed"
    CANCELLED = "Cancelled"
    DELETE_FAILED = "DeleteFailed"

    PROBE = "Probe"
    PROBE_FAILED = "ProbeFailed"
    DRIFTED = "Drifted"
    HEAL_BUDGET = "HealBudget"

    ACCEPTED = "Accepted"
    OBSERVED_GENERATION = "ObservedGeneration"
    PAUSED = "Paused"
    RESUMED = "Resumed"

    TURN_SUCCEEDS = "TurnSucceeds"
    TURN_FAILS = "TurnFails"
    NEWER_RELEASE = "NewerRelease"
    PLATFORM_UNAVAILABLE = "PlatformUnavailable"
    IMAGE_NOT_FOUND = "ImageNotFound"
    SECRET_MISSING = "SecretMissing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NETWORK_POOL_EXHAUSTED = "NetworkPoolExhausted"
    PORT_TAKEN = "PortTaken"
    ACCESS_REFUSED = "AccessRefused"
    DRAINING = "Draining"
    NODE_LOST = "NodeLost"
    OTHER_NODE = "OtherNode"
