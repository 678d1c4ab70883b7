"""The JSON documents of the API, typed: `Client` sends and returns them."""

from typing import Any, Literal, NotRequired, TypedDict


class Workflow(TypedDict):
    """The execution of a tenant's newest generation."""

    provider: str
    state: str
    sub_state: str | None
    retry_count: int
    error: str | None
    next_attempt_at: str | None
    trigger_source: str


class Endpoint(TypedDict):
    name: str
    url: str


class Observed(TypedDict):
    endpoints: list[Endpoint]
    resources: dict[str, str]
    healthy: bool | None
    checked_at: str | None
    effective_interval_seconds: float | None


class TenantDocument(TypedDict):
    """A tenant as the API shows it. Pass its `version` as `if_match`."""

    id: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    generation: int
    observed_generation: int
    status: str
    status_message: str
    conditions: list[dict[str, Any]]
    observed: Observed
    workflow_execution_id: str
    workflow: Workflow
    paused: bool
    version: int
    created_at: str
    updated_at: str
    deleted_at: str | None


class StepDocument(TypedDict):
    name: str
    state: str
    attempts: int
    waits: int
    waits_for: str | None
    error: str | None
    in_call_to: NotRequired[str | None]
    in_call_since: NotRequired[str | None]


class ExecutionDocument(TypedDict):
    """An execution. `steps` is there only if a single execution was asked for."""

    id: str
    tenant: str
    action: str
    generation: int
    run: int
    provider: str
    state: str
    sub_state: str | None
    retry_count: int
    error: str | None
    trigger_source: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    steps: NotRequired[list[StepDocument]]


class EventDocument(TypedDict):
    id: int
    type: str
    tenant: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None
    token_id: str | None
    message: str
    at: str
    hash: str | None


class HeadDocument(TypedDict):
    id: int
    hash: str


class TrailDocument(TypedDict):
    """The audit trail, compared with its hashes."""

    checked: int
    after: int
    head: HeadDocument | None
    broken: list[int]
    noted: str | None


class WatchDocument(TypedDict):
    """An event as a watch sends it."""

    id: int
    type: str
    tenant: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    at: str


class ChangeDocument(TypedDict):
    """One difference: a dotted path of the tenant's document. None means: not there."""

    path: str
    before: Any
    after: Any


class PlanDocument(TypedDict):
    """The plan of a change. `action` is none if no execution would follow."""

    dry_run: Literal[True]
    action: Literal["provision", "update", "delete", "none"]
    generation: int
    workflow_execution_id: str
    changes: list[ChangeDocument]


class ComputeProviderDocument(TypedDict):
    name: str
    healthy: bool
    detail: str
    one_node: bool
    capabilities: list[str]
    """`logs`, `exec_probe`; more may come."""


class WorkflowProviderDocument(TypedDict):
    name: str
    default: bool


class ProvidersDocument(TypedDict):
    compute: list[ComputeProviderDocument]
    workflow: list[WorkflowProviderDocument]


class TokenDocument(TypedDict):
    """`name_prefix`, `selector`: the only tenants that it reaches; empty: all."""

    id: str
    name: str
    role: str
    name_prefix: str
    selector: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewTokenDocument(TokenDocument):
    """The only answer that ever holds the secret."""

    token: str


class PausesDocument(TypedDict):
    """The pauses that cover more than single tenants."""

    all: bool
    providers: list[str]


class DifferenceDocument(TypedDict):
    kind: str
    tenant: str | None
    resource: str | None
    detail: str


class NoteDocument(TypedDict):
    kind: str
    detail: str


class ConsistencyDocument(TypedDict):
    differences: list[DifferenceDocument]
    notes: NotRequired[list[NoteDocument]]


class TenantPage(TypedDict):
    items: list[TenantDocument]
    next_cursor: str | None


class ExecutionPage(TypedDict):
    items: list[ExecutionDocument]
    next_cursor: str | None


class EventPage(TypedDict):
    items: list[EventDocument]
    next_cursor: str | None


class TokenPage(TypedDict):
    items: list[TokenDocument]
    next_cursor: str | None
