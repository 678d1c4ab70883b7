"""The bodies that clients send. Strict: unknown fields are refused, types are not guessed."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator

from controlplane.model import Strict, TenantName, TenantSpec
from controlplane.model.reach import Reach
from controlplane.persistence.tokens import RESERVED, Role

DEFAULT_TOKEN_SECONDS = 90 * 86400
"""A token that nobody gave a time for expires after this."""

LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]{0,126}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[ -~]*$", max_length=256)]


def _as_a_map(schema: dict[str, Any]) -> None:
    """Says the same by `additionalProperties`: of `patternProperties`, generators of clients make an untyped object."""
    ((pattern, value),) = schema.pop("patternProperties").items()
    schema.update(propertyNames={"pattern": pattern}, additionalProperties=value)


_MAP = Field(max_length=64, json_schema_extra=_as_a_map)

Labels = Annotated[dict[LabelKey, LabelValue], _MAP]
Annotations = Annotated[dict[LabelKey, Annotated[str, StringConstraints(max_length=16384)]], _MAP]

_EXAMPLE: dict[str, JsonValue] = {
    "name": "acme",
    "labels": {"tier": "gold"},
    "spec": {
        "compute": {
            "provider": "docker",
            "config": {"image": "tenant-web:1", "env": {"COLOR": "blue"}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    },
}


class TenantDocument(Strict):
    """The part of a tenant that a client may change. A merge patch is validated as the document that results from
    it."""

    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
    spec: TenantSpec


class TenantCreate(TenantDocument):
    """A new tenant. The name can never be changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: TenantName = Field(examples=["acme"])

    @field_validator("name", mode="after")
    @classmethod
    def _not_a_uuid(cls, name: str) -> str:
        try:
            UUID(name)
        except ValueError:
            return name
        raise ValueError("a name must not look like a UUID")


class TenantPatch(BaseModel):
    """JSON Merge Patch (RFC 7396) of a tenant: null members are removed, all others are merged."""

    model_config = ConfigDict(extra="forbid")

    spec: dict[str, Any] = Field(default_factory=dict, examples=[{"compute": {"config": {"env": {"COLOR": "green"}}}}])
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None


class PauseScope(Strict):
    """The scope of a pause: one provider (compute or workflow), or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"provider": "docker"}, {"all": True}],
            "oneOf": [
                {"required": ["provider"], "properties": {"provider": {"type": "string"}}},
                {"required": ["all"], "properties": {"all": {"const": True}}},
            ],
        }
    )

    provider: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[-A-Za-z0-9_.]+$")
    all: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> "PauseScope":
        if (self.provider is None) == (self.all is None):
            raise ValueError('give either {"provider": …} or {"all": true}')
        return self


class CommandRun(Strict):
    """A command to run in a tenant's compute. No shell is around it."""

    command: list[Annotated[str, StringConstraints(min_length=1, max_length=4096)]] = Field(
        min_length=1, max_length=64, examples=[["cat", "/etc/hostname"]]
    )
    timeout_seconds: float = Field(default=10, gt=0, le=15, description="After this the answer has no `exit_code`.")

    @field_validator("command", mode="after")
    @classmethod
    def _no_nul(cls, command: list[str]) -> list[str]:
        if any("\0" in word for word in command):
            raise ValueError("a word of a command has no NUL")
        return command


class TokenCreate(Strict):
    """A new bearer token."""

    name: str = Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,62}[A-Za-z0-9])?$", examples=["ci"])
    role: Role
    expires_in_seconds: Annotated[int, Field(ge=1, le=10 * 365 * 86400)] | Literal["never"] | None = Field(
        default=None, description="If left out: 90 days."
    )
    name_prefix: str = Field(
        default="",
        max_length=40,
        pattern=r"^([a-z][-a-z0-9]*)?$",
        description="It reaches only tenants whose name begins so: all others are not there for it.",
        examples=["acme-"],
    )
    selector: str = Field(
        default="",
        max_length=1000,
        description="It reaches only tenants whose labels meet this label selector.",
        examples=["tier=gold"],
    )

    @field_validator("name", mode="after")
    @classmethod
    def _nobody_elses(cls, name: str) -> str:
        if name.lower() in RESERVED:
            raise ValueError("the audit trail has this name for a part of the control plane")
        return name

    @field_validator("selector", mode="after")
    @classmethod
    def _readable(cls, selector: str) -> str:
        Reach.of(selector=selector)
        return selector

    @model_validator(mode="after")
    def _admins_reach_all(self) -> "TokenCreate":
        if self.role == "admin" and not self.reach.everything:
            raise ValueError("an admin reaches all tenants: leave out name_prefix and selector, or take a smaller role")
        return self

    @property
    def reach(self) -> Reach:
        return Reach.of(self.name_prefix, self.selector)

    @property
    def lasts(self) -> int | None:
        """Seconds. None: it never expires."""
        if self.expires_in_seconds == "never":
            return None
        return self.expires_in_seconds or DEFAULT_TOKEN_SECONDS
