"""An in-memory cloud, for tests and benchmarks of thousands of tenants: latency, failures and health by script.

`FakeCompute` is the provider and holds no state; `FakeCloud` is the platform. If many processes should share one cloud,
give each of them a `Cloud` that passes the calls on (arguments and answers pickle).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import Field

from controlplane.errors import InvalidConfig, Retryable, Unavailable
from controlplane.model import Bound, Endpoint
from controlplane.ports import OWNER_LABEL, DesiredResource, Origin, PlatformHealth, Resource, ResourceState
from controlplane.settings import Settings
from providers.kit.configs import ProviderConfig
from providers.kit.gated import GatedCompute, adoptable, owned
from providers.kit.redaction import redact
from providers.kit.secrets import SecretNames

REFUSED = "refused"
"""The cloud's own code for an instance that never starts."""

Result = TypeVar("Result")
Verb = Literal["create", "start", "stop", "destroy", "find", "list"]
Outcome = Literal["works", "fails", "times out", "refuses"]
"""`times out` is ExecuteAndTimeout: the effect happens, and the caller gets the error of a platform that does not
answer. `refuses`: no effect, and a Retryable that is a verdict on the spec."""


class FakeConfig(ProviderConfig):
    """`health`: the platform's verdict at each look; the last one repeats for ever, and empty means that it gives none.
    `refuses`: the reason why it never starts. Nothing answers at the endpoint."""

    version: Annotated[str, Bound(characters=256)] = "1"
    env: Annotated[dict[Annotated[str, Bound(characters=256)], str], Bound(items=512)] = Field(default_factory=dict)
    secret_env: SecretNames = Field(default_factory=list)
    health: Annotated[list[PlatformHealth], Bound(items=512)] = Field(default=["healthy"])
    refuses: Annotated[str, Bound(characters=1024)] | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance in the cloud."""

    id: str
    name: str
    labels: Mapping[str, str]
    config: Mapping[str, Any]
    state: ResourceState
    looks: int = 0
    starts: int = 0


class Cloud(Protocol):
    """The platform's calls. All raise Unavailable by script or by chance. A name is taken once."""

    async def identity(self) -> str: ...

    async def create(self, name: str, labels: Mapping[str, str], config: Mapping[str, Any]) -> str | None: ...

    async def start(self, instance_id: str) -> None: ...

    async def stop(self, instance_id: str) -> None: ...

    async def destroy(self, instance_id: str) -> None: ...

    async def find(self, name_or_id: str) -> Instance | None: ...

    async def list(self, installation_id: str) -> list[Instance]: ...


class FakeCloud:
    """A Cloud. `latency`: seconds before each answer. `failure_rate`: the chance that a call fails without its effect.
    `timeout_rate`: the chance that it has its effect and raises all the same. `rng` makes both repeatable. `script`
    overrides chance."""

    def __init__(
        self,
        *,
        identity: str = "fake-1",
        latency: float = 0.0,
        failure_rate: float = 0.0,
        timeout_rate: float = 0.0,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._identity = identity
        self._latency = latency
        self._failure_rate = failure_rate
        self._timeout_rate = timeout_rate
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._by_id: dict[str, Instance] = {}
        self._ids: dict[str, str] = {}
        self._numbers = count(1)
        self._scripts: dict[Verb, list[Outcome]] = {}
        self.calls: dict[Verb, int] = {}
        """Number of calls of each verb."""

    def script(self, verb: Verb, *outcomes: Outcome) -> None:
        """Set the outcomes of the next calls of that verb."""
        self._scripts.setdefault(verb, []).extend(outcomes)

    def instances(self) -> "tuple[Instance, ...]":
        """All instances of all owners, for observers outside. Never fails."""
        return tuple(self._by_id.values())

    def fill(self, instances: "Iterable[Instance]") -> None:
        """Add instances behind Landlord's back, as many as a test of a fleet wants."""
        for one in instances:
            self._by_id[one.id], self._ids[one.name] = one, one.id

    def lose(self, instance_id: str) -> None:
        """Remove an instance behind Landlord's back."""
        found = self._by_id.pop(instance_id)
        del self._ids[found.name]

    def crash(self, instance_id: str, *, restarts: bool) -> None:
        """End an instance behind Landlord's back. `restarts`: the cloud starts it again at once."""
        found = self._by_id[instance_id]
        state = ResourceState.RUNNING if restarts else ResourceState.STOPPED
        self._by_id[instance_id] = replace(found, state=state, starts=found.starts + restarts)

    def alter(self, instance_id: str, **config: Any) -> None:
        """Change an instance's config behind Landlord's back, for example its `health`."""
        found = self._by_id[instance_id]
        self._by_id[instance_id] = replace(found, config={**found.config, **config}, looks=0)

    async def identity(self) -> str:
        return self._identity

    async def create(self, name: str, labels: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
        def effect() -> str | None:
            if name in self._ids:
                return None
            made = f"fake-{next(self._numbers):06d}"
            self._ids[name] = made
            self._by_id[made] = Instance(made, name, dict(labels), dict(config), ResourceState.CREATED)
            return made

        return await self._do("create", effect)

    async def start(self, instance_id: str) -> None:
        def effect() -> None:
            found = self._by_id.get(instance_id)
            if found is None:
                return
            if found.config.get("refuses"):
                reason = redact(found.config["refuses"], found.config["env"].values())
                raise InvalidConfig(f"{found.name} cannot start: {reason}", code=REFUSED)
            starts = found.starts + (found.state is not ResourceState.RUNNING)
            self._by_id[instance_id] = replace(found, state=ResourceState.RUNNING, starts=starts)

        await self._do("start", effect)

    async def stop(self, instance_id: str) -> None:
        def effect() -> None:
            found = self._by_id.get(instance_id)
            if found is not None and found.state is ResourceState.RUNNING:
                self._by_id[instance_id] = replace(found, state=ResourceState.STOPPED)

        await self._do("stop", effect)

    async def destroy(self, instance_id: str) -> None:
        def effect() -> None:
            found = self._by_id.pop(instance_id, None)
            if found is not None:
                del self._ids[found.name]

        await self._do("destroy", effect)

    async def find(self, name_or_id: str) -> Instance | None:
        def effect() -> Instance | None:
            instance_id = self._ids.get(name_or_id, name_or_id)
            found = self._by_id.get(instance_id)
            if found is not None:
                self._by_id[instance_id] = replace(found, looks=found.looks + 1)
            return found

        return await self._do("find", effect)

    async def list(self, installation_id: str) -> "list[Instance]":
        return await self._do(
            "list",
            lambda: [found for found in self._by_id.values() if found.labels.get(OWNER_LABEL) == installation_id],
        )

    async def _do(self, verb: Verb, effect: Callable[[], Result]) -> Result:
        self.calls[verb] = self.calls.get(verb, 0) + 1
        outcome = self._outcome(verb)
        if self._latency:
            await self._sleep(self._latency)
        if outcome == "fails":
            raise Unavailable(f"the fake cloud does not answer to {verb}")
        if outcome == "refuses":
            raise Retryable(f"the fake cloud refuses to {verb}")
        result = effect()
        if outcome == "times out":
            raise Unavailable(f"the fake cloud did not answer to {verb} in time")
        return result

    def _outcome(self, verb: Verb) -> Outcome:
        scripted = self._scripts.get(verb)
        if scripted:
            return scripted.pop(0)
        chance = self._rng.random()
        if chance < self._failure_rate:
            return "fails"
        return "times out" if chance < self._failure_rate + self._timeout_rate else "works"


class FakeCompute(GatedCompute[FakeConfig]):
    """A ComputeProvider on a Cloud."""

    name: ClassVar[str] = "fake"
    resource_kind: ClassVar[str] = "instance"
    config_model: ClassVar[type[FakeConfig]] = FakeConfig
    one_node: ClassVar[bool] = False

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """On a cloud of this process's own."""
        return cls(cls.shared_state(settings))

    @classmethod
    def shared_state(cls, settings: Settings) -> FakeCloud:
        """The cloud that several processes share. The code that composes them gives each a handle on it."""
        return FakeCloud(
            latency=settings.fake_latency_seconds,
            failure_rate=settings.fake_failure_rate,
            timeout_rate=settings.fake_timeout_rate,
        )

    async def identity(self) -> str:
        return await self._cloud.identity()

    async def create(self, desired: DesiredResource) -> str | None:
        config = self.parse(desired.config)
        return await self._cloud.create(desired.origin.name, desired.origin.labels(), config.model_dump())

    async def observe(self, origin: Origin) -> Resource | None:
        found = await self._cloud.find(origin.name)
        return None if found is None or not adoptable(found.labels, origin) else _resource(found)

    async def inspect(self, resource_id: str) -> Resource | None:
        found = await self._cloud.find(resource_id)
        return None if found is None else _resource(found)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        seen = [_resource(found) for found in await self._cloud.list(installation_id)]
        return owned(seen, installation_id, tenant_id)

    async def start(self, resource_id: str) -> None:
        await self._cloud.start(resource_id)

    async def stop(self, resource_id: str) -> None:
        await self._cloud.stop(resource_id)

    async def destroy(self, resource_id: str) -> None:
        await self._cloud.destroy(resource_id)

    async def close(self) -> None:
        return None


def _resource(found: Instance) -> Resource | None:
    origin = Origin.from_labels(found.labels)
    if origin is None:
        return None
    running = found.state is ResourceState.RUNNING
    script: list[PlatformHealth] = found.config["health"]
    return Resource(
        id=found.id,
        name=found.name,
        origin=origin,
        state=found.state,
        endpoints=(Endpoint("http", f"http://{found.name}.fake.invalid", 80),) if running else (),
        platform_health=script[min(found.looks, len(script) - 1)] if running and script else None,
        checked=bool(script),
        launch=str(found.starts) if found.starts else "",
        detail="" if running else f"the instance is {found.state}",
    )
