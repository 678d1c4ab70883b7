"""The spec that a client sends. Pydantic models, since they cross HTTP. What a client sends is read strictly; what is
stored is read whatever release wrote it (`TenantSpec.stored`)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from controlplane.model.bounds import Bound
from controlplane.model.headers import Headers, Host
from controlplane.model.tolerance import overlay, without_nulls

UNPROBED_SECONDS = 10.0
"""A resource that nobody probes must run for so long before it counts as healthy."""


class Strict(BaseModel):
    """Refuses unknown fields, and guesses no value from another type. Its errors quote no value: it may be secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class ComputeSpec(Strict):
    """The provider that runs the tenant's compute. `config` belongs to the provider, which checks it."""

    provider: str = Field(min_length=1, max_length=64)
    # No error, log or Ray task that prints a tenant prints its config: it holds secrets.
    config: dict[str, Any] = Field(default_factory=dict, repr=False)


class HttpProbe(Strict):
    """GET `path`; 200–399 is healthy. `port` is the tenant's own port; it may be left out if the provider knows it."""

    path: str = Field(default="/", pattern=r"^/[!-~]*$", max_length=1024)
    port: int | None = Field(default=None, ge=1, le=65535)
    scheme: Literal["http", "https"] | None = Field(
        default=None, description="left out: that of the endpoint. With https no certificate is checked"
    )
    host: Host | None = Field(default=None, description="the Host header, and with https the server's name (SNI)")
    headers: Headers | None = Field(
        default=None, description="more header fields; they are sent to whoever answers at the address", repr=False
    )
    expect: list[Annotated[int, Field(ge=200, le=599)]] | None = Field(
        default=None, min_length=1, max_length=64, description="the status codes that are healthy, instead of 200–399"
    )


class TcpProbe(Strict):
    """An accepted connection is healthy."""

    port: int | None = Field(default=None, ge=1, le=65535)


class ExecProbe(Strict):
    """A command that ends with 0 is healthy. If the provider can, the platform runs it next to the tenant."""

    command: list[Annotated[str, Bound(characters=4096)]] = Field(
        min_length=1, max_length=64, description="the program and its arguments; no shell", repr=False
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
    min_healthy_seconds: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="a new resource must stay healthy for so long, without a break, before it replaces the old one; "
        "left out: 0 with a probe, 10 without",
    )
    drain_seconds: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="after the switch the replaced resource runs on for so long, at its own address; 0 if left out",
    )

    def lasting(self, *, checked: bool) -> float:
        """`min_healthy_seconds`, or its default. `checked`: the platform probes the tenant by itself. A deadline that
        is shorter than twice the default shortens the default."""
        if self.min_healthy_seconds is not None:
            return self.min_healthy_seconds
        probed = checked or any(probe is not None for probe in (self.http, self.tcp, self.exec))
        return 0.0 if probed else min(UNPROBED_SECONDS, self.deadline_seconds / 2)

    @model_validator(mode="after")
    def _one_probe(self) -> "HealthSpec":
        if sum(probe is not None for probe in (self.http, self.tcp, self.exec)) > 1:
            raise ValueError("give one of http, tcp and exec")
        return self

    @model_validator(mode="after")
    def _can_last(self) -> "HealthSpec":
        if (self.min_healthy_seconds or 0) >= self.deadline_seconds:
            raise ValueError("min_healthy_seconds must be less than deadline_seconds")
        return self


class PlacementSpec(Strict):
    """The machine that shall run the tenant, if its provider's resources live on one: a node by its name, or any node
    with these labels."""

    node: str | None = Field(default=None, min_length=1, max_length=253)
    labels: dict[Annotated[str, Bound(characters=253)], Annotated[str, Bound(characters=253)]] | None = Field(
        default=None, min_length=1, max_length=16
    )

    @model_validator(mode="after")
    def _one(self) -> "PlacementSpec":
        if (self.node is None) == (self.labels is None):
            raise ValueError('give either {"node": NAME} or {"labels": {…}}')
        return self

    def admits(self, name: str, labels: Mapping[str, str]) -> bool:
        """A node of that name, with those labels, may run the tenant."""
        if self.node is not None:
            return name == self.node
        return all(labels.get(key) == value for key, value in (self.labels or {}).items())


class WorkflowSpec(Strict):
    provider: str = Field(min_length=1, max_length=64)


class TenantSpec(Strict):
    """The wanted state of a tenant. If `workflow` is left out, the installation's default engine is used."""

    compute: ComputeSpec
    health: HealthSpec = HealthSpec()
    workflow: WorkflowSpec | None = None
    heal: Literal["restart", "none"] = "restart"
    placement: PlacementSpec | None = None

    _more: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What the stored document says besides: fields, and values, of a newer release."""
    _unreadable: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """The spec of a row. Unknown fields are kept. A part that this release cannot read is kept too, has its default
        here, and is named in `unreadable`. Never raises."""
        try:
            return cls.model_validate(document)
        except ValidationError:
            return cls._newer(document)

    @classmethod
    def _newer(cls, document: Mapping[str, Any]) -> Self:
        known, more, unreadable = dict(document), dict[str, Any](), list[str]()
        while True:
            try:
                spec = cls.model_validate(known)
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False, include_input=False)
                unknown = [found["loc"] for found in problems if found["type"] == "extra_forbidden"]
                for loc in unknown:
                    _set_aside(known, more, *map(str, loc))
                if not unknown:
                    parts = dict.fromkeys(str(found["loc"][0]) for found in problems)
                    unreadable += parts
                    for part in parts:
                        _set_aside(known, more, part)
                        if part == "compute":
                            known[part] = {"provider": _provider_of(more.get(part)), "config": {}}
            else:
                spec._more, spec._unreadable = more, tuple(unreadable)
                return spec

    @property
    def more(self) -> Mapping[str, Any]:
        """What the stored document says besides the fields of this release."""
        return self._more

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of known fields with a value that only a newer release can read. With any of them, the spec is shown
        and not acted on."""
        return self._unreadable

    def canonical(self) -> dict[str, Any]:
        """JSON-ready, with every default filled in, and with what a newer release has stored."""
        return overlay(self.model_dump(mode="json"), self._more)

    @property
    def hash(self) -> str:
        """16 hex digits over the canonical JSON. The hash is a label that shows whether a resource matches its spec.

        Null fields are left out. A field that a later release adds therefore changes no hash; otherwise every running
        resource would be made again."""
        document = overlay(self.model_dump(mode="json", exclude_none=True), without_nulls(self._more))
        return hashlib.sha256(canonical_json(document).encode()).hexdigest()[:16]


def _set_aside(known: dict[str, Any], more: dict[str, Any], *path: str) -> None:
    """Move the value at that path, if there is one, from `known` to `more`."""
    *parents, name = path
    for parent in parents:
        known[parent] = known = dict(known[parent])
        more = more.setdefault(parent, {})
    if name in known:
        value = known.pop(name)
        more[name] = overlay(value, more[name]) if name in more else value


def _provider_of(compute: Any) -> str:
    named = compute.get("provider") if isinstance(compute, Mapping) else None
    return named if isinstance(named, str) and 0 < len(named) <= 64 else "unknown"


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
