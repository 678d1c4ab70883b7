"""The installation: its providers, its pauses, its health, and its differences from the rows."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from controlplane.model import NodeDrain

Capability = Literal["logs", "follow_logs", "exec", "exec_probe"]


class ComputeProviderOut(BaseModel):
    name: str
    healthy: bool
    detail: str
    one_node: bool = Field(description="Its resources live on one machine.")
    capabilities: list[Capability] = Field(
        description="Capabilities: `logs` for `GET /v1/tenants/{name}/logs`, `follow_logs` for its `after`, "
        "`exec` for `POST /v1/tenants/{name}/exec`, `exec_probe` for `health.exec`."
    )


class WorkflowProviderOut(BaseModel):
    name: str
    default: bool


class ProvidersOut(BaseModel):
    compute: list[ComputeProviderOut]
    workflow: list[WorkflowProviderOut]


class NodePlatformOut(BaseModel):
    engine: str = Field(description="The identity of the platform: of a Docker Engine, its own id.")
    tenants: int = Field(description="Tenants with a resource there.")


class NodeOut(BaseModel):
    """A machine of the cluster."""

    name: str
    address: str = Field(description="Its address in the cluster.")
    alive: bool
    draining: bool = Field(description="It gets no more actors, and those that it has leave.")
    labels: dict[str, str]
    providers: dict[str, NodePlatformOut] = Field(
        description="Compute providers with `one_node` that this node reaches, once their platforms have answered."
    )
    live_actors: int = Field(description="Tenant actors that live on it.")
    ceiling: int = Field(
        description="The number of tenant actors that may live on it. On all nodes together there are no more than the "
        "largest of these."
    )


class NodeDrainOut(BaseModel):
    """What a node gives up."""

    name: str
    gives_up: NodeDrain | None = Field(description="Its actors, or its tenants too. Null: neither.")


class NodesOut(BaseModel):
    """The nodes of the cluster, the head first."""

    items: list[NodeOut]
    checked_at: datetime | None = Field(description="Time of the supervisor's look. Null: it has not looked yet.")


class Pauses(BaseModel):
    """The pauses that cover more than single tenants."""

    all: bool
    providers: list[str]


class DifferenceOut(BaseModel):
    """One difference from the rows."""

    kind: Literal[
        "missing_resource",
        "stopped_resource",
        "changed_resource",
        "duplicate",
        "leftover",
        "orphan",
        "not_serving",
        "unowned_work",
        "hung_effect",
        "actor_without_tenant",
        "turn_fails",
        "other_release",
        "other_engine",
        "unchecked",
        "broken_trail",
    ]
    tenant: str | None
    resource: str | None
    detail: str


class NoteOut(BaseModel):
    """Something that is weaker than it could be, and nothing to mend at once."""

    kind: Literal["changeable_trail"]
    detail: str


class ConsistencyOut(BaseModel):
    """The differences between rows, actors and resources. Work in flight is not a difference."""

    differences: list[DifferenceOut]
    notes: list[NoteOut] = Field(description="No differences: what is weaker than it could be.")


class HeadOut(BaseModel):
    id: int
    hash: str


class TrailOut(BaseModel):
    """The audit trail, compared with its hashes."""

    checked: int = Field(description="Events.")
    after: int = Field(description="Events up to this id are not in the chain: pruned, or older than it.")
    head: HeadOut | None = Field(description="The newest event; note it elsewhere to have it asked for later.")
    broken: list[int] = Field(description="Events that do not fit, or whose predecessor does not; the first 20.")
    noted: Literal["kept", "changed", "pruned"] | None = Field(
        description="What became of the event that was asked for."
    )


class CheckOut(BaseModel):
    ok: bool
    detail: str


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    ready: bool
    checks: dict[str, CheckOut] = Field(description="`database`, `ray` and `supervisor`: all must be good.")
    providers: dict[str, CheckOut] = Field(
        description="For information; they do not decide. `detail` is for those who send a token."
    )
