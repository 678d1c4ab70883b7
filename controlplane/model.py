"""The nouns of Landlord: what a client asks for (spec), what is there (rows), and the words between them.

Pydantic models are what crosses HTTP; frozen dataclasses are rows and values inside. No I/O here.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_NAME = 40
"""Execution ids are at most 80 characters long (Step Functions' limit), so a name has at most 40."""

NAME_PATTERN = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
TenantName = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=MAX_NAME)]


class StopCause(StrEnum):
    """Why an active execution is being stopped; decides how it ends."""

    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Status(StrEnum):
    """Where a tenant is. Changes only through `transitions`."""

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
    """What an execution does: `provision` until the first success, then `update`; `delete`."""

    PROVISION = "provision"
    UPDATE = "update"
    DELETE = "delete"


class ExecutionState(StrEnum):
    """`queued` never reached an engine; `starting` may have; the API shows both as pending."""

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
"""What the gate lets through: a runner may act only while its execution's row is in one of these."""
TERMINAL = frozenset(
    {ExecutionState.SUCCEEDED, ExecutionState.FAILED, ExecutionState.CANCELLED, ExecutionState.SUPERSEDED}
)


class SubState(StrEnum):
    """What an engine is doing with an execution, in words that fit all engines (DESIGN §5, mapping table)."""

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


class StepState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


# --- the spec: what a client asks for -------------------------------------------------------------------------------


class Strict(BaseModel):
    """Unknown fields are refused; values are not guessed from other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ComputeSpec(Strict):
    """Where the tenant's compute runs. `config` is the provider's own and checked by it."""

    provider: str = Field(min_length=1, max_length=64)
    config: dict[str, Any] = Field(default_factory=dict)


class HttpProbe(Strict):
    """GET `path`; 200–399 is healthy. `port` is the tenant's own port; may be left out where the provider knows it."""

    path: str = Field(default="/", pattern=r"^/[!-~]*$", max_length=1024)
    port: int | None = Field(default=None, ge=1, le=65535)


class TcpProbe(Strict):
    """A connection that is accepted is healthy."""

    port: int | None = Field(default=None, ge=1, le=65535)


class HealthSpec(Strict):
    """When a tenant counts as healthy. Neither `http` nor `tcp`: the platform's own health decides. Seconds."""

    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    interval_seconds: float = Field(default=10, gt=0, le=3600)
    timeout_seconds: float = Field(default=2, gt=0, le=60)
    healthy_threshold: int = Field(default=1, ge=1, le=100)
    unhealthy_threshold: int = Field(default=3, ge=1, le=100)
    start_period_seconds: float = Field(default=0, ge=0, le=3600)
    deadline_seconds: float = Field(default=600, gt=0, le=86400)

    @model_validator(mode="after")
    def _one_probe(self) -> "HealthSpec":
        if self.http is not None and self.tcp is not None:
            raise ValueError("give http or tcp, not both")
        return self


class WorkflowSpec(Strict):
    provider: str = Field(min_length=1, max_length=64)


class TenantSpec(Strict):
    """What a tenant should be. `workflow` left out: the installation's default engine."""

    compute: ComputeSpec
    health: HealthSpec = HealthSpec()
    workflow: WorkflowSpec | None = None
    heal: Literal["restart", "none"] = "restart"

    def canonical(self) -> dict[str, Any]:
        """JSON-ready, with every default filled in."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """16 hex digits over the canonical JSON: the label by which a resource is told to match its spec."""
        return hashlib.sha256(canonical_json(self.canonical()).encode()).hexdigest()[:16]


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


# --- names -----------------------------------------------------------------------------------------------------------


def id8(tenant_id: UUID) -> str:
    """The last 8 hex digits of the tenant's UUID: keeps a name that is used again from ever colliding."""
    return tenant_id.hex[-8:]


def _run_suffix(run: int) -> str:
    return f"-r{run}" if run > 1 else ""


def execution_id(name: str, action: Action, generation: int, tenant_id: UUID, run: int = 1) -> str:
    """`tenant-{name}-{action}-{generation}-{id8}[-r{run}]`: fixed when the row is inserted, what engines dedupe on."""
    return f"tenant-{name}-{action}-{generation}-{id8(tenant_id)}{_run_suffix(run)}"


def resource_name(name: str, tenant_id: UUID, generation: int, run: int = 1) -> str:
    """`landlord-{name}-{id8}-g{generation}[-r{run}]`: never used twice."""
    return f"landlord-{name}-{id8(tenant_id)}-g{generation}{_run_suffix(run)}"


# --- rows and values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant answers. `port` is the tenant's own (container) port, `url` what a client calls."""

    name: str
    url: str
    port: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What is really there: written at the switch, then by health checks."""

    endpoints: tuple[Endpoint, ...] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    healthy: bool | None = None
    checked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """Why the status is what it is. `type`: Triggered, Provisioned, Healthy or Synced; `status`: true/false/unknown."""

    type: str
    status: Literal["true", "false", "unknown"]
    reason: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """One row of `tenants`. `version` counts what clients changed; `fence` what owners took."""

    id: UUID
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: TenantSpec
    generation: int
    observed_generation: int
    status: Status
    status_message: str
    conditions: tuple[Condition, ...]
    observed: Observed
    current_execution: str
    serving_execution: str | None
    version: int
    paused: bool
    """Itself; where rows are read to decide or to show, also by a freeze of its provider or of all."""
    epoch: int
    """+1 whenever one of its executions is queued, promoted or ended: an observation begun before that is void."""
    fence: int
    lease_owner: str | None
    lease_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deletion_requested_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One row of `executions`: (tenant, action, generation, run). `spec` is the snapshot it works with."""

    id: str
    tenant_id: UUID
    tenant_name: str
    action: Action
    generation: int
    run: int
    state: ExecutionState
    sub_state: SubState | None
    provider: str
    provider_ref: str | None
    spec: TenantSpec
    trigger_source: TriggerSource
    retry_count: int
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None = None
    superseded_by: str | None = None
    cancel_requested_at: datetime | None = None
    stop_cause: StopCause | None = None
    stop_reason: str | None = None
    stop_requested_at: datetime | None = None
    activations: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def order(self) -> tuple[int, int]:
        """(generation, run): the order on executions and on the resources that they make."""
        return self.generation, self.run


@dataclass(frozen=True, slots=True)
class Step:
    """One row of `steps`. `attempts` counts attempts that reported; the death of an owner is none."""

    execution_id: str
    name: StepName
    state: StepState
    attempts: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class PlacementState(StrEnum):
    """`intended` is written before the effect, `placed` after it."""

    INTENDED = "intended"
    PLACED = "placed"
    REMOVED = "removed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Placement:
    """A resource that we made or are about to make, keyed by its execution."""

    execution_id: str
    tenant_id: UUID
    provider: str
    engine_identity: str
    generation: int
    run: int
    name: str
    resource_id: str | None
    state: PlacementState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail. `id` order is commit order."""

    id: int
    type: str
    tenant_id: UUID | None
    tenant_name: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None
    request_id: str | None
    message: str
    data: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A tenant's rows, read in one short transaction: what `reconcile` decides on.

    `executions` holds the queued, the active, the serving and the current one, and those of the placements.
    """

    tenant: Tenant
    executions: tuple[Execution, ...]
    steps: tuple[Step, ...]
    """Of the active execution only, in order."""
    placements: tuple[Placement, ...]
    """Those not removed."""
    now: datetime
    """The database's clock."""

    @property
    def queued(self) -> Execution | None:
        return next((e for e in self.executions if e.state is ExecutionState.QUEUED), None)

    @property
    def active(self) -> Execution | None:
        return next((e for e in self.executions if e.state.active), None)

    @property
    def serving(self) -> Execution | None:
        return self.find(self.tenant.serving_execution)

    @property
    def current(self) -> Execution | None:
        return self.find(self.tenant.current_execution)

    def find(self, execution: str | None) -> Execution | None:
        return next((e for e in self.executions if e.id == execution), None)


def is_tenant_name(text: str) -> bool:
    return len(text) <= MAX_NAME and re.fullmatch(NAME_PATTERN, text) is not None
