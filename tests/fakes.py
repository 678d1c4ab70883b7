"""Stand-ins for what the API calls beyond the database: live actors, and a compute platform that needs no network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controlplane.errors import InvalidConfig, Unavailable, Unsupported
from controlplane.model import HealthSpec
from controlplane.ports import (
    Change,
    DesiredResource,
    ExecutionGate,
    LogPart,
    Origin,
    ProviderHealth,
    Resource,
    Wake,
)


@dataclass
class Woken:
    name: str
    tenant_id: UUID
    execution_id: str | None
    timeout: float | None


@dataclass
class FakeDirectory:
    """Records each wake-up and answers `outcome`; `before_answer` runs first, so that a test can act as the actor."""

    outcome: Wake = field(default_factory=lambda: Wake("started"))
    ray: ProviderHealth = field(default_factory=lambda: ProviderHealth(True))
    woken: list[Woken] = field(default_factory=list)
    before_answer: Any = None
    actors: list[str] | None = field(default_factory=list)
    """Names of live ones; None: nobody can tell."""

    async def wake(
        self, name: str, tenant_id: UUID, execution_id: str | None = None, *, timeout: float | None = None
    ) -> Wake:
        woken = Woken(name, tenant_id, execution_id, timeout)
        self.woken.append(woken)
        if self.before_answer is not None:
            await self.before_answer(woken)
        return self.outcome

    def wakes(self) -> Mapping[str, int]:
        return {"live": len(self.woken), "cold": 0}

    async def live(self) -> list[str]:
        if self.actors is None:
            raise Unavailable("the supervisor does not answer")
        return self.actors

    async def ray_health(self) -> ProviderHealth:
        return self.ray


class CloudConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    image: str
    env: dict[str, str] = Field(default_factory=dict)
    replicas: int = Field(default=1, ge=1, le=10)


class StudioConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    command: list[str]
    env: dict[str, str] = Field(default_factory=dict)


class StubPlatform:
    """A compute provider as far as the API calls one: validation, plans, health, logs. It makes nothing."""

    name: ClassVar[str] = "cloud"
    config_model: ClassVar[type[BaseModel]] = CloudConfig
    one_node: ClassVar[bool] = False

    def __init__(self) -> None:
        self.state = ProviderHealth(True, "fine")
        self.resources: list[Resource] = []
        self.text: Mapping[str, str] = {}

    async def identity(self) -> str:
        return "cloud-1"

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        try:
            self.config_model.model_validate(dict(config))
        except ValidationError as error:
            raise InvalidConfig(
                f"the {self.name} config is not valid",
                errors=[{"loc": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()],
            ) from None
        if health.exec is not None:
            raise Unsupported("health.exec: not here", errors=[{"loc": "health.exec", "message": "not here"}])

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        old = dict(before or {})
        return [
            Change(key, old.get(key), after.get(key))
            for key in sorted({*old, *after})
            if old.get(key) != after.get(key)
        ]

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        return False

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        raise AssertionError("the API never applies")

    async def observe(self, origin: Origin) -> Resource | None:
        raise AssertionError("the API never observes")

    async def inspect(self, resource_id: str) -> Resource | None:
        raise AssertionError("the API never inspects")

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        if not self.state.healthy:
            raise Unavailable(self.state.detail)
        return self.resources

    async def start(self, resource_id: str) -> None:
        raise AssertionError("the API never starts a resource")

    async def stop(self, resource_id: str) -> None:
        raise AssertionError("the API never stops a resource")

    async def destroy(self, resource_id: str) -> None:
        raise AssertionError("the API never destroys a resource")

    async def health(self) -> ProviderHealth:
        return self.state

    async def logs(self, resource_id: str, tail: int) -> str:
        return "\n".join(self.text[resource_id].splitlines()[-tail:])

    async def logs_after(self, resource_id: str, position: str | None, tail: int) -> LogPart:
        text = self.text[resource_id]
        new = text[int(position) :] if position and position.isdecimal() else "".join(text.splitlines(True)[-tail:])
        return LogPart(new, str(len(text)))

    async def close(self) -> None:
        return None


class FakeStudio(StubPlatform):
    """Another one, under the name whose tenants need a role of their own."""

    name: ClassVar[str] = "process"
    config_model: ClassVar[type[BaseModel]] = StudioConfig
    one_node: ClassVar[bool] = True
    logs_after = None  # type: ignore[assignment]
