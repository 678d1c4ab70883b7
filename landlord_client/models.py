"""The documents of the API, typed. They are values: comparable, and never changed.

A client and a server of different releases understand each other: a field that this client does not know is kept in
`document`, and a field that an older server does not send has its empty value.
"""

from datetime import datetime
from typing import Any, Generic, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

T = TypeVar("T")


class Document(BaseModel):
    """What the API sent."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    _document: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON as it came, with the fields that this release of the client does not know. A copy of the outermost
        level."""
        return dict(self._document)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(value)
        if isinstance(value, dict):
            made._document = value
        return made


class Condition(Document):
    """One reason why a tenant's status is what it is."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    since: datetime | None = None


class Endpoint(Document):
    name: str
    url: str


class Observed(Document):
    """What is really there. `healthy` None: not known yet."""

    endpoints: list[Endpoint] = Field(default_factory=list)
    resources: dict[str, str] = Field(default_factory=dict)
    healthy: bool | None = None
    checked_at: datetime | None = None
    node: str | None = None
    effective_interval_seconds: float | None = None


class Workflow(Document):
    """The execution of a tenant's newest generation."""

    provider: str = ""
    state: str = ""
    """pending, running, stopping, succeeded, failed, cancelled or superseded."""
    sub_state: str | None = None
    retry_count: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    trigger_source: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled", "superseded")


class Tenant(Document):
    """A tenant. Pass its `version` as `if_match`."""

    id: str
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    spec: dict[str, Any] = Field(default_factory=dict)
    generation: int = 0
    observed_generation: int = 0
    status: str
    status_message: str = ""
    conditions: list[Condition] = Field(default_factory=list)
    observed: Observed = Field(default_factory=Observed)
    workflow_execution_id: str = ""
    workflow: Workflow = Field(default_factory=Workflow)
    paused: bool = False
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def settled(self) -> bool:
        """True if nothing is under way for it."""
        return self.status in ("ready", "degraded", "failed", "deleted") and self.workflow.ended

    @property
    def provider(self) -> str:
        """The compute provider of its spec."""
        return str(self.spec.get("compute", {}).get("provider", ""))


class Step(Document):
    """A step of an execution. `waits_for`: what it waits for outside the tenant's spec."""

    name: str
    state: str
    attempts: int = 0
    waits: int = 0
    waits_for: str | None = None
    error: str | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    in_call_to: str | None = None
    in_call_since: datetime | None = None


class Execution(Document):
    """An execution. `steps` is empty in lists: ask for the single execution."""

    id: str
    tenant: str = ""
    tenant_id: str = ""
    action: str = ""
    generation: int = 0
    run: int = 1
    provider: str = ""
    state: str = ""
    sub_state: str | None = None
    retry_count: int = 0
    error: str | None = None
    next_attempt_at: datetime | None = None
    trigger_source: str = ""
    superseded_by: str | None = None
    stop_reason: str | None = None
    cancel_requested_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    steps: list[Step] = Field(default_factory=list)

    @property
    def current_step(self) -> Step | None:
        """None: no step is under way."""
        return next((step for step in self.steps if step.state in ("running", "backing-off")), None)


class WatchEvent(Document):
    """An event as a watch sends it."""

    id: int
    type: str = ""
    tenant: str | None = None
    generation: int | None = None
    status: str | None = None
    execution_id: str | None = None
    at: datetime | None = None


class Event(WatchEvent):
    """An entry of the audit trail: who, what, when, why."""

    tenant_id: str | None = None
    trigger_source: str | None = None
    actor: str | None = None
    token_id: str | None = None
    request_id: str | None = None
    message: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    hash: str | None = None


class TrailHead(Document):
    id: int
    hash: str


class Trail(Document):
    """The audit trail, compared with its hashes. `broken`: the ids of the events that are not as they were written."""

    checked: int
    after: int = 0
    head: TrailHead | None = None
    broken: list[int] = Field(default_factory=list)
    noted: str | None = None


class Change(Document):
    """One difference: a dotted path of the tenant's document. None means: not there."""

    path: str
    before: Any = None
    after: Any = None


class Plan(Document):
    """What a change would do. `action` is none if no execution would follow."""

    dry_run: bool = True
    action: str
    generation: int = 0
    workflow_execution_id: str = ""
    changes: list[Change] = Field(default_factory=list)


class ComputeProvider(Document):
    name: str
    healthy: bool = True
    detail: str = ""
    one_node: bool = False
    capabilities: list[str] = Field(default_factory=list)


class WorkflowProvider(Document):
    name: str
    default: bool = False


class Providers(Document):
    """The enabled providers."""

    compute: list[ComputeProvider] = Field(default_factory=list)
    workflow: list[WorkflowProvider] = Field(default_factory=list)


class NodePlatform(Document):
    """`engine`: the platform's identity."""

    engine: str = ""
    tenants: int = 0


class Node(Document):
    """A machine of the cluster."""

    name: str
    address: str = ""
    alive: bool = True
    draining: bool = False
    labels: dict[str, str] = Field(default_factory=dict)
    providers: dict[str, NodePlatform] = Field(default_factory=dict)
    live_actors: int = 0
    ceiling: int = 0


class NodeDrain(Document):
    """What a node gives up: `actors`, `tenants` too, or nothing."""

    name: str
    gives_up: str | None = None


class Nodes(Document):
    """The nodes of the cluster. `checked_at` None: the supervisor has not looked yet."""

    items: list[Node] = Field(default_factory=list)
    checked_at: datetime | None = None


class Token(Document):
    """A bearer token, without its secret. `name_prefix`, `selector`: the only tenants that it reaches; empty: all."""

    id: str = ""
    name: str
    role: str
    name_prefix: str = ""
    selector: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewToken(Token):
    """The only answer that ever holds the secret: `token`."""

    token: str = Field(repr=False)


class Pauses(Document):
    """The pauses that cover more than single tenants."""

    all: bool = False
    providers: list[str] = Field(default_factory=list)


class Difference(Document):
    """A finding of `landlord doctor`."""

    kind: str
    tenant: str | None = None
    resource: str | None = None
    detail: str = ""


class Note(Document):
    """Something that is weaker than it could be, and no difference."""

    kind: str
    detail: str = ""


class Consistency(Document):
    differences: list[Difference] = Field(default_factory=list)
    notes: list[Note] = Field(default_factory=list)


class CommandEnd(Document):
    """How a command ended. `exit_code` None: it had not ended in time, and may still run. `cut`: there was more."""

    exit_code: int | None = None
    output: str = ""
    cut: bool = False


class Page(Document, Generic[T]):
    """Some of a list. `next_cursor` None: these are the last."""

    items: list[T]
    next_cursor: str | None = None


TenantPage: TypeAlias = Page[Tenant]
ExecutionPage: TypeAlias = Page[Execution]
EventPage: TypeAlias = Page[Event]
TokenPage: TypeAlias = Page[Token]
