"""The spec that a client sends. Pydantic models, since they cross HTTP."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from controlplane.model.bounds import Bound


class Strict(BaseModel):
    """Refuses unknown fields, and guesses no value from another type. Its errors quote no value: it may be secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class ComputeSpec(Strict):
    """The provider that runs the tenant's compute. `config` belongs to the provider, which checks it."""

    provider: str = Field(min_length=1, max_length=64)
    config: dict[str, Any] = Field(default_factory=dict)


class HttpProbe(Strict):
    """GET `path`; 200–399 is healthy. `port` is the tenant's own port; it may be left out if the provider knows it."""

    path: str = Field(default="/", pattern=r"^/[!-~]*$", max_length=1024)
    port: int | None = Field(default=None, ge=1, le=65535)


class TcpProbe(Strict):
    """An accepted connection is healthy."""

    port: int | None = Field(default=None, ge=1, le=65535)


class ExecProbe(Strict):
    """A command that ends with 0 is healthy. If the provider can, the platform runs it next to the tenant."""

    command: list[Annotated[str, Bound(characters=4096)]] = Field(
        min_length=1, max_length=64, description="the program and its arguments; no shell"
    )


class HealthSpec(Strict):
    """Decides when a tenant is healthy. Without `http`, `tcp` and `exec`, the platform's own health decides. Times in
    seconds."""

    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    exec: ExecProbe | None = None
    interval_seconds: Annotated[float, Bound(ge=0.5)] = Field(default=10, gt=0, le=3600)
    timeout_seconds: Annotated[float, Bound(ge=0.1)] = Field(default=2, gt=0, le=60)
    healthy_threshold: int = Field(default=1, ge=1, le=100)
    unhealthy_threshold: int = Field(default=3, ge=1, le=100)
    start_period_seconds: float = Field(default=0, ge=0, le=3600)
    deadline_seconds: Annotated[float, Bound(ge=1)] = Field(default=600, gt=0, le=86400)

    @model_validator(mode="after")
    def _one_probe(self) -> "HealthSpec":
        if sum(probe is not None for probe in (self.http, self.tcp, self.exec)) > 1:
            raise ValueError("give one of http, tcp and exec")
        return self


class WorkflowSpec(Strict):
    provider: str = Field(min_length=1, max_length=64)


class TenantSpec(Strict):
    """The wanted state of a tenant. If `workflow` is left out, the installation's default engine is used."""

    compute: ComputeSpec
    health: HealthSpec = HealthSpec()
    workflow: WorkflowSpec | None = None
    heal: Literal["restart", "none"] = "restart"

    def canonical(self) -> dict[str, Any]:
        """JSON-ready, with every default filled in."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """16 hex digits over the canonical JSON. The hash is a label that shows whether a resource matches its spec.

        Null fields are left out. A field that a later release adds therefore changes no hash; otherwise every running
        resource would be made again."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json", exclude_none=True)).encode()).hexdigest()[:16]


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
