"""What the API answers, in API.md's shapes, made from rows. Secrets are stars here already."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from controlplane.api.masking import mask
from controlplane.conditions import with_condition
from controlplane.model import (
    Condition,
    Event,
    Execution,
    ExecutionState,
    Status,
    Step,
    SubState,
    Tenant,
    TenantSpec,
)
from controlplane.persistence.tenants import TenantView
from controlplane.persistence.tokens import Role, TokenRecord

WorkflowState = Literal["pending", "running", "stopping", "succeeded", "failed", "cancelled", "superseded"]


class EndpointOut(BaseModel):
    name: str
    url: str


class ObservedOut(BaseModel):
    """What is really there, from the serving resource."""

    endpoints: list[EndpointOut]
    resources: dict[str, str]
    healthy: bool | None
    checked_at: datetime | None
    effective_interval_seconds: float | None = Field(
        description="Between two looks: `health.interval_seconds` while an actor of the tenant lives, at rest no less "
        "than LANDLORD_REST_PROBE_SECONDS; null: it is deleted."
    )

    @classmethod
    def of(cls, tenant: Tenant, rest_probe_seconds: float) -> "ObservedOut":
        observed = tenant.observed
        return cls(
            endpoints=[EndpointOut(name=endpoint.name, url=endpoint.url) for endpoint in observed.endpoints],
            resources=dict(observed.resources),
            healthy=observed.healthy,
            checked_at=observed.checked_at,
            effective_interval_seconds=effective_interval(tenant, rest_probe_seconds),
        )


class ConditionOut(BaseModel):
    type: str
    status: Literal["true", "false", "unknown"]
    reason: str
    message: str
    since: datetime

    @classmethod
    def of(cls, condition: Condition) -> "ConditionOut":
        return cls(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            since=condition.since,
        )


class WorkflowOut(BaseModel):
    """The execution of the newest generation, in words that fit all engines."""

    provider: str
    state: WorkflowState
    sub_state: SubState | None
    retry_count: int
    error: str | None
    next_attempt_at: datetime | None
    trigger_source: Literal["api", "supervisor", "operator"]

    @classmethod
    def of(cls, execution: Execution) -> "WorkflowOut":
        return cls(
            provider=execution.provider,
            state=shown_state(execution.state),
            sub_state=shown_sub_state(execution),
            retry_count=execution.retry_count,
            error=execution.error,
            next_attempt_at=execution.next_attempt_at,
            trigger_source=execution.trigger_source.value,
        )


class TenantOut(BaseModel):
    """A tenant: what it should be (`spec`), where it is (`status`), what is really there (`observed`)."""

    id: UUID
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any] = Field(description="As a TenantSpec, with defaults filled in and secret values as stars.")
    generation: int
    observed_generation: int
    status: Literal[
        "requested", "planning", "provisioning", "ready", "degraded", "updating", "failed", "deleting", "deleted"
    ]
    status_message: str
    conditions: list[ConditionOut]
    observed: ObservedOut
    workflow_execution_id: str
    workflow: WorkflowOut
    paused: bool = Field(
        description="Nothing new is begun: it is paused itself, or its provider, its engine or all are."
    )
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @classmethod
    def of(cls, tenant: Tenant, execution: Execution, rest_probe_seconds: float) -> "TenantOut":
        """`rest_probe_seconds`: the setting."""
        return cls(
            id=tenant.id,
            name=tenant.name,
            labels=dict(tenant.labels),
            annotations=dict(tenant.annotations),
            spec=shown_spec(tenant.spec),
            generation=tenant.generation,
            observed_generation=tenant.observed_generation,
            status=tenant.status.value,
            status_message=tenant.status_message,
            conditions=[ConditionOut.of(condition) for condition in shown_conditions(tenant)],
            observed=ObservedOut.of(tenant, rest_probe_seconds),
            workflow_execution_id=execution.id,
            workflow=WorkflowOut.of(execution),
            paused=tenant.paused or tenant.frozen is not None,
            version=tenant.version,
            created_at=tenant.created_at,
            updated_at=tenant.updated_at,
            deleted_at=tenant.deleted_at,
        )

    @classmethod
    def of_view(cls, view: TenantView, rest_probe_seconds: float) -> "TenantOut":
        return cls.of(view.tenant, view.execution, rest_probe_seconds)


class StepOut(BaseModel):
    name: str
    state: Literal["pending", "running", "backing-off", "succeeded", "failed"]
    attempts: int
    error: str | None
    next_attempt_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, step: Step) -> "StepOut":
        return cls(
            name=step.name.value,
            state=step.state.value,
            attempts=step.attempts,
            error=step.error,
            next_attempt_at=step.next_attempt_at,
            started_at=step.started_at,
            ended_at=step.ended_at,
        )


class ExecutionSummary(BaseModel):
    """One line of a tenant's history."""

    id: str
    tenant: str
    tenant_id: UUID
    action: Literal["provision", "update", "delete"]
    generation: int
    run: int
    provider: str
    state: WorkflowState
    sub_state: SubState | None
    retry_count: int
    error: str | None
    next_attempt_at: datetime | None
    trigger_source: Literal["api", "supervisor", "operator"]
    superseded_by: str | None
    stop_reason: str | None
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, execution: Execution) -> "ExecutionSummary":
        return cls(**_summary(execution))


class ExecutionOut(ExecutionSummary):
    """One execution with its steps, in the order in which they run."""

    steps: list[StepOut]

    @classmethod
    def of_parts(cls, execution: Execution, steps: tuple[Step, ...]) -> "ExecutionOut":
        return cls(**_summary(execution), steps=[StepOut.of(step) for step in steps])


class EventOut(BaseModel):
    """One line of the audit trail. `id` order is commit order."""

    id: int
    type: str
    tenant: str | None
    tenant_id: UUID | None
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None = Field(description="The token's name, or the owner that acted.")
    request_id: str | None
    message: str
    data: dict[str, Any]
    at: datetime

    @classmethod
    def of(cls, event: Event) -> "EventOut":
        return cls(
            id=event.id,
            type=event.type,
            tenant=event.tenant_name,
            tenant_id=event.tenant_id,
            generation=event.generation,
            status=event.status,
            execution_id=event.execution_id,
            trigger_source=event.trigger_source,
            actor=event.actor,
            request_id=event.request_id,
            message=event.message,
            data=dict(event.data),
            at=event.at,
        )


class WatchEvent(BaseModel):
    """`data` of one Server-Sent Event; its `id` is the stream's id too."""

    id: int
    type: str
    tenant: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    at: datetime

    @classmethod
    def of(cls, event: Event) -> "WatchEvent":
        return cls(
            id=event.id,
            type=event.type,
            tenant=event.tenant_name,
            generation=event.generation,
            status=event.status,
            execution_id=event.execution_id,
            at=event.at,
        )


class ChangeOut(BaseModel):
    """One difference: a dotted path of the tenant's document, its value before and after."""

    path: str
    before: Any
    after: Any


class PlanOut(BaseModel):
    """What a request would do, were it not for `dry_run`. Nothing of it is stored."""

    dry_run: Literal[True] = True
    action: Literal["provision", "update", "delete", "none"]
    generation: int = Field(description="Of the tenant afterwards.")
    workflow_execution_id: str = Field(description="Of the execution that would answer for the tenant.")
    changes: list[ChangeOut]


class TenantPage(BaseModel):
    items: list[TenantOut]
    next_cursor: str | None


class ExecutionPage(BaseModel):
    items: list[ExecutionSummary]
    next_cursor: str | None


class EventPage(BaseModel):
    items: list[EventOut]
    next_cursor: str | None


class TokenOut(BaseModel):
    """A token as it may be shown: never its secret."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: TokenRecord) -> "TokenOut":
        return cls(
            id=token.id,
            name=token.name,
            role=token.role,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
        )


class TokenCreated(TokenOut):
    token: str = Field(description="The secret itself: shown now and never again.")


class TokenPage(BaseModel):
    items: list[TokenOut]
    next_cursor: str | None


class ComputeProviderOut(BaseModel):
    name: str
    healthy: bool
    detail: str
    one_node: bool = Field(description="Its resources live on one machine.")
    capabilities: list[Literal["logs"]]


class WorkflowProviderOut(BaseModel):
    name: str
    default: bool


class ProvidersOut(BaseModel):
    compute: list[ComputeProviderOut]
    workflow: list[WorkflowProviderOut]


class Freezes(BaseModel):
    """What is paused beside single tenants."""

    all: bool
    providers: list[str]


class DifferenceOut(BaseModel):
    """One thing that is not as the rows say."""

    kind: Literal[
        "missing_resource",
        "stopped_resource",
        "leftover",
        "orphan",
        "not_serving",
        "unowned_work",
        "actor_without_tenant",
        "other_engine",
        "unchecked",
    ]
    tenant: str | None
    resource: str | None
    detail: str


class ConsistencyOut(BaseModel):
    """Rows against actors against resources. Work in flight is no difference."""

    differences: list[DifferenceOut]


class CheckOut(BaseModel):
    ok: bool
    detail: str


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    ready: bool
    checks: dict[str, CheckOut] = Field(description="`database`, `ray` and `supervisor`: all must be good.")
    providers: dict[str, CheckOut] = Field(description="For information; they do not decide.")


def shown_state(state: ExecutionState) -> WorkflowState:
    """Whether an execution has reached its engine is ours to know: queued and starting are both `pending`."""
    return "pending" if state in (ExecutionState.QUEUED, ExecutionState.STARTING) else state.value  # type: ignore[return-value]


def shown_sub_state(execution: Execution) -> SubState | None:
    return None if shown_state(execution.state) == "pending" else execution.sub_state


def effective_interval(tenant: Tenant, rest_probe_seconds: float) -> float | None:
    """A lease that is valid is an actor that lives, and looks; else the supervisor does, in bulk."""
    if tenant.status is Status.DELETED:
        return None
    lives = tenant.lease_expires_at is not None and tenant.lease_expires_at > datetime.now(UTC)
    wanted = tenant.spec.health.interval_seconds
    return wanted if lives else max(wanted, rest_probe_seconds)


def shown_conditions(tenant: Tenant) -> tuple[Condition, ...]:
    """Those of its row; a freeze of its provider or of all, which is not in the row, shows like a pause of its own."""
    if tenant.paused or tenant.frozen is None:
        return tenant.conditions
    scope = tenant.frozen.scope.removeprefix("provider:")
    message = f"{scope} is paused: changes are accepted, nothing is done"
    return with_condition(tenant.conditions, "Synced", "false", "Paused", tenant.frozen.since, message)


def shown_spec(spec: TenantSpec) -> dict[str, Any]:
    """A spec for people: stars for secrets; optional parts that were left out are left out."""
    document = spec.canonical()
    document["compute"]["config"] = mask(document["compute"]["config"])
    document["health"] = {
        name: {part: inner for part, inner in value.items() if inner is not None} if isinstance(value, dict) else value
        for name, value in document["health"].items()
        if value is not None
    }
    return {name: value for name, value in document.items() if value is not None}


def _summary(execution: Execution) -> dict[str, Any]:
    return {
        "id": execution.id,
        "tenant": execution.tenant_name,
        "tenant_id": execution.tenant_id,
        "action": execution.action.value,
        "generation": execution.generation,
        "run": execution.run,
        "provider": execution.provider,
        "state": shown_state(execution.state),
        "sub_state": shown_sub_state(execution),
        "retry_count": execution.retry_count,
        "error": execution.error,
        "next_attempt_at": execution.next_attempt_at,
        "trigger_source": execution.trigger_source.value,
        "superseded_by": execution.superseded_by,
        "stop_reason": execution.stop_reason,
        "cancel_requested_at": execution.cancel_requested_at,
        "created_at": execution.created_at,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
    }
