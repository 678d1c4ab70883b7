"""A tenant in answers: its spec, its status and its observed state. Secrets are already stars here."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_json

from controlplane.api.masking import mask, mask_at
from controlplane.api.schemas.execution import WorkflowOut, workflow
from controlplane.api.schemas.words import words
from controlplane.lifecycle.conditions import with_condition
from controlplane.model import Condition, ConditionType, Execution, Reason, Status, Tenant, TenantSpec, Truth
from controlplane.persistence.tenants import KNOWN_SPECS, SHORT_SPEC, ExecutionLine, TenantView, read_spec


class EndpointOut(BaseModel):
    name: str
    url: str


class ObservedOut(BaseModel):
    """The state that was last seen, from the serving resource."""

    endpoints: list[EndpointOut]
    resources: dict[str, str]
    healthy: bool | None
    checked_at: datetime | None
    node: str | None = Field(
        description="The machine of the cluster that runs it, see `GET /v1/nodes`. Null: its platform is on none of "
        "them, or nobody has looked yet."
    )
    effective_interval_seconds: float | None = Field(
        description="Seconds between two health probes: `health.interval_seconds` while the tenant has a live actor, "
        "at rest no less than LANDLORD_REST_PROBE_SECONDS. Null: the tenant is deleted."
    )


class ConditionOut(BaseModel):
    """The reason for the status. docs/events.md explains each type and reason; later releases may add some."""

    type: str = Field(examples=[*ConditionType])
    status: Annotated[str, words(get_args(Truth))]
    reason: str = Field(examples=[*Reason])
    message: str
    since: datetime


_EXAMPLE: dict[str, JsonValue] = {
    "id": "0190c8c6-2f6e-7c1a-8e5b-3a7d9f8e7d6c",
    "name": "acme",
    "labels": {"tier": "gold"},
    "annotations": {},
    "spec": {
        "compute": {
            "provider": "docker",
            "config": {"image": "tenant-web:1", "env": {"COLOR": "blue"}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/", "port": 8080}, "interval_seconds": 1},
        "workflow": {"provider": "embedded"},
        "heal": "restart",
    },
    "generation": 1,
    "observed_generation": 1,
    "status": "ready",
    "status_message": "",
    "conditions": [
        {"type": "Healthy", "status": "true", "reason": "Probe", "message": "", "since": "2026-01-01T12:00:02Z"}
    ],
    "observed": {
        "endpoints": [{"name": "http", "url": "http://127.0.0.1:32768"}],
        "resources": {"container": "3f1c5b7d9e02"},
        "healthy": True,
        "checked_at": "2026-01-01T12:00:02Z",
        "node": "web-1",
        "effective_interval_seconds": 30.0,
    },
    "workflow_execution_id": "tenant-acme-provision-1-9f8e7d6c",
    "workflow": {
        "provider": "embedded",
        "state": "succeeded",
        "sub_state": "succeeded",
        "retry_count": 0,
        "error": None,
        "next_attempt_at": None,
        "trigger_source": "api",
    },
    "paused": False,
    "version": 1,
    "created_at": "2026-01-01T12:00:00Z",
    "updated_at": "2026-01-01T12:00:02Z",
    "deleted_at": None,
}


class TenantOut(BaseModel):
    """A tenant: its wanted state (`spec`), its `status`, and the state that was last seen (`observed`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any] = Field(description="A TenantSpec with defaults filled in and secrets as stars.")
    generation: int
    observed_generation: int
    status: Annotated[str, words(Status)]
    status_message: str
    conditions: list[ConditionOut]
    observed: ObservedOut
    workflow_execution_id: str
    workflow: WorkflowOut
    paused: bool = Field(
        description="Nothing new begins, because the tenant itself, its provider, its engine or everything is paused."
    )
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class TenantPage(BaseModel):
    items: list[TenantOut]
    next_cursor: str | None


def shown(tenant: Tenant, execution: Execution | ExecutionLine, rest_probe_seconds: float) -> bytes:
    """The tenant as JSON. `execution`: that of its newest generation. `rest_probe_seconds`: the setting."""
    return _text(tenant, execution, rest_probe_seconds, to_json(shown_spec(tenant.spec)))


def shown_view(view: TenantView, rest_probe_seconds: float) -> bytes:
    """As `shown`, of what was read for a GET."""
    text, spec = view.spec_json, view.tenant.spec
    shown = _known_spec(text) if len(text) <= SHORT_SPEC else to_json(shown_spec(spec))
    return _text(view.tenant, view.execution, rest_probe_seconds, shown)


def shown_page(views: Iterable[TenantView], next_cursor: str | None, rest_probe_seconds: float) -> bytes:
    """A `TenantPage` as JSON."""
    items = b",".join(shown_view(view, rest_probe_seconds) for view in views)
    return b'{"items":[%b],"next_cursor":%b}' % (items, to_json(next_cursor))


@lru_cache(maxsize=KNOWN_SPECS)
def _known_spec(text: str) -> bytes:
    """What is shown of a spec is a matter of its text alone."""
    return to_json(shown_spec(read_spec(text)))


def _text(tenant: Tenant, execution: Execution | ExecutionLine, rest_probe_seconds: float, spec: bytes) -> bytes:
    """A `TenantOut`. Made of our own rows, it is written as it is: to build the model and check it again would cost as
    much as all the rest of a GET. `spec`: as JSON."""
    observed = tenant.observed
    before = {
        "id": tenant.id,
        "name": tenant.name,
        "labels": mask_at("labels", tenant.labels),
        "annotations": mask_at("annotations", tenant.annotations),
    }
    after = {
        "generation": tenant.generation,
        "observed_generation": tenant.observed_generation,
        "status": tenant.status.value,
        "status_message": tenant.status_message,
        "conditions": [
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "since": condition.since,
            }
            for condition in shown_conditions(tenant)
        ],
        "observed": {
            "endpoints": [{"name": endpoint.name, "url": endpoint.url} for endpoint in observed.endpoints],
            "resources": observed.resources,
            "healthy": observed.healthy,
            "checked_at": observed.checked_at,
            "node": observed.node,
            "effective_interval_seconds": effective_interval(tenant, rest_probe_seconds),
        },
        "workflow_execution_id": execution.id,
        "workflow": workflow(execution),
        "paused": tenant.paused or tenant.pause is not None,
        "version": tenant.version,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
        "deleted_at": tenant.deleted_at,
    }
    return b'%b,"spec":%b,%b' % (to_json(before)[:-1], spec, to_json(after)[1:])


def effective_interval(tenant: Tenant, rest_probe_seconds: float) -> float | None:
    """If the lease is valid, an actor is live and probes; else the supervisor probes in bulk."""
    if tenant.status is Status.DELETED:
        return None
    lives = tenant.lease_expires_at is not None and tenant.lease_expires_at > datetime.now(UTC)
    wanted = tenant.spec.health.interval_seconds
    return wanted if lives else max(wanted, rest_probe_seconds)


def shown_conditions(tenant: Tenant) -> tuple[Condition, ...]:
    """The conditions of its row. A pause of its provider or of all is not in the row; it shows like a pause of its
    own."""
    if tenant.paused or tenant.pause is None:
        return tenant.conditions
    scope = tenant.pause.scope.removeprefix("provider:")
    message = f"{scope} is paused: changes are accepted, nothing is done"
    return with_condition(tenant.conditions, ConditionType.SYNCED, "false", Reason.PAUSED, tenant.pause.since, message)


def shown_spec(spec: TenantSpec) -> dict[str, Any]:
    """A spec for people: secrets are stars, and optional parts that were left out stay left out."""
    document = mask(spec.canonical())
    document["health"] = {
        name: {part: inner for part, inner in value.items() if inner is not None} if isinstance(value, dict) else value
        for name, value in document["health"].items()
        if value is not None
    }
    if document.get("placement"):
        document["placement"] = {name: value for name, value in document["placement"].items() if value is not None}
    return {name: value for name, value in document.items() if value is not None}
