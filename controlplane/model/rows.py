"""Rows, and the values inside them, as frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from controlplane.model.spec import TenantSpec
from controlplane.model.states import (
    Action,
    ExecutionState,
    NodeDrain,
    PlacementState,
    Status,
    StepName,
    StepState,
    StopCause,
    SubState,
    TriggerSource,
)
from controlplane.model.trail import Truth
from controlplane.text import DETAIL, clean

URL = 2_000
"""Longest address of a tenant, in characters."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address at which a tenant answers. `port` is the tenant's own (container) port; clients call `url`.
    No other endpoint of the tenant has this `name`."""

    name: str
    url: str
    port: int
    more: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a newer release has written besides; it is written back."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean(self.name, DETAIL))
        object.__setattr__(self, "url", clean(self.url, URL))


@dataclass(frozen=True, slots=True)
class Observed:
    """The state that was last seen. Written at the switch, then by health checks."""

    endpoints: tuple[Endpoint, ...] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    healthy: bool | None = None
    checked_at: datetime | None = None
    node: str | None = None
    """The node that runs it. None: its platform is on no node, or nobody has said yet."""
    more: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a newer release has written besides; it is written back."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster, as its supervisor last wrote it."""

    name: str
    address: str
    head: bool
    alive: bool
    since: datetime
    """It is alive, or is not, since then."""
    labels: Mapping[str, str]
    platforms: Mapping[str, str]
    """Compute providers whose resources live on one machine, and the identity of the platform that it has for each."""
    cpus: float
    """Its size."""
    cluster_id: str = ""
    """The cluster that saw it last."""
    drain: NodeDrain | None = None
    """What it gives up."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The reason for the status. `type`: a `ConditionType`; `reason`: a `Reason`."""

    type: str
    status: Truth
    reason: str
    message: str
    since: datetime
    more: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a newer release has written besides; it is written back while this condition stays."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that covers more than one tenant: `all`, or `provider:<name>` for a compute provider or an engine."""

    scope: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """One row of `tenants`. `version` counts changes by clients; `fence` counts takeovers by owners."""

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
    newest_execution: str
    serving_execution: str | None
    version: int
    paused: bool
    """The tenant itself is paused. In rows read for decisions, also true if its provider or everything is paused."""
    epoch: int
    """Grows by 1 when one of the tenant's executions is queued, promoted or ended. An observation begun before is
    void."""
    fence: int
    lease_owner: str | None
    lease_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deletion_requested_at: datetime | None = None
    deleted_at: datetime | None = None
    departures: int = 0
    """How often in a row its owners have left because their turns failed."""
    failing_at: str | None = None
    """Where they failed; see `lifecycle.poison`."""
    pause: Pause | None = None
    """The widest pause that holds the tenant. Filled only in rows that are read for an answer or a request."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One row of `executions`: (tenant, action, generation, run). `spec` is the snapshot that the execution works
    with."""

    id: str
    tenant_id: UUID
    tenant_name: str
    action: Action
    generation: int
    run: int
    state: ExecutionState
    sub_state: SubState | None
    engine: str
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
    fresh: bool = False
    """It takes its image from the registry again, even if the platform has one of that name."""
    drains_until: datetime | None = None
    """It has switched, and what it replaced runs on until then."""
    traceparent: str | None = field(default=None, compare=False)
    """The trace of which it is a part, as W3C has it."""
    in_place: bool = False
    """It makes no resource: it restarts the one that serves."""
    request_id: str | None = field(default=None, compare=False)
    """The request that caused it. None: no request did, but a finding or a release before."""
    node: str | None = None
    """The node that was chosen for it. None: any, or the head if its platform is of one machine."""

    @property
    def order(self) -> tuple[int, int]:
        """(generation, run): sorts executions, and the resources that they make."""
        return self.generation, self.run


@dataclass(frozen=True, slots=True)
class Step:
    """One row of `steps`. `attempts` counts verdicts on the tenant's spec: an attempt whose owner died, or which found
    something missing outside, is made again under the same number."""

    execution_id: str
    name: StepName
    state: StepState
    attempts: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    waits: int = 0
    """The number of times that it found something missing outside."""
    waits_for: str | None = None
    """What it waits for (`errors.WaitsFor`), also while it looks again whether that is there."""
    in_call_to: str | None = None
    """The platforms whose answer the present attempt waits for, once that takes long."""
    in_call_since: datetime | None = None
    """The begin of that attempt."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A resource that we made or are about to make, keyed by its execution."""

    execution_id: str
    tenant_id: UUID
    platform: str
    platform_identity: str
    generation: int
    run: int
    name: str
    resource_id: str | None
    state: PlacementState
    created_at: datetime
    node: str | None = None
    """That of its execution."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail. `id` order is commit order; `type`: an `EventType`."""

    id: int
    type: str
    tenant_id: UUID | None
    tenant_name: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None
    token_id: UUID | None
    """Id of the token that `actor` names: its name may belong to another token later."""
    request_id: str | None
    message: str
    data: Mapping[str, Any]
    at: datetime
    hash: str | None
    """Hash over this event and the hash of the one before. None for events older than the chain."""


@dataclass(frozen=True, slots=True)
class TenantRows:
    """The rows of one tenant for decisions, read in one short transaction."""

    tenant: Tenant
    executions: tuple[Execution, ...]
    """In (generation, run) order: newest, serving, unfinished, those with a live placement, and any asked for."""
    placements: tuple[Placement, ...]
    """The live placements, in the same order."""
    now: datetime
    """The database's clock."""
    steps: tuple[Step, ...] = ()
    """The steps of the active execution, in order. Empty if they were not asked for."""
    nodes: tuple[Node, ...] = ()
    """The machines of all clusters, the dead ones too."""

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
    def newest(self) -> Execution | None:
        return self.find(self.tenant.newest_execution)

    def find(self, execution: str | None) -> Execution | None:
        return next((e for e in self.executions if e.id == execution), None)
