"""Tools of the conformance suite of compute providers, also for your own tests: desired resources, and a gate with
scripted answers."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID, uuid4

from controlplane.errors import NotCurrent, Retryable
from controlplane.model import Action, HealthSpec, execution_id
from controlplane.ports import ComputeProvider, DesiredResource, Origin, Resource, ResourceState

SECRET = "hunter2-conformance"
SETTLE_SECONDS = 30.0


class Gate:
    """An ExecutionGate that gives these answers one by one, and the last one for ever. An exception is raised."""

    def __init__(self, *answers: bool | BaseException) -> None:
        self._answers: Iterator[bool | BaseException] = iter(answers)
        self._last: bool | BaseException = True
        self.asked = 0
        self.made_way = 0

    async def current(self) -> bool:
        self.asked += 1
        self._last = next(self._answers, self._last)
        if isinstance(self._last, BaseException):
            raise self._last
        return self._last

    async def make_way(self) -> bool:
        """Nothing is in the way."""
        self.made_way += 1
        return False


class Crash(Exception):
    """The runner dies here."""


Effect = Literal["create", "start", "destroy"]
LoseAnswer = Callable[[Effect], None]
"""After this call, the platform carries out the next request of that kind from `provider`, once, and its answer is
lost: ExecuteAndTimeout."""


def desire(
    installation_id: str,
    config: Mapping[str, Any],
    *,
    tenant: str = "conform",
    tenant_id: UUID | None = None,
    generation: int = 1,
) -> DesiredResource:
    """A tenant's resource, with labels like those of a real execution."""
    tenant_id = tenant_id or uuid4()
    action = Action.PROVISION if generation == 1 else Action.UPDATE
    origin = Origin(
        installation_id=installation_id,
        tenant_name=tenant,
        tenant_id=tenant_id,
        generation=generation,
        run=1,
        execution_id=execution_id(tenant, action, generation, tenant_id),
        spec_hash=uuid4().hex[:16],
    )
    return DesiredResource(origin, config, HealthSpec())


async def created(provider: ComputeProvider, desired: DesiredResource) -> str:
    """The id of a resource whose gate closed after its create, which saves the cost of starting it. If the platform
    says that another attempt may work, it is made."""
    for _ in range(5):
        try:
            await provider.apply(desired, Gate(True, False))
        except NotCurrent as refusal:
            if refusal.made is not None:
                return refusal.made
            # A call whose answer was lost made it, maybe one that the platform's SDK sent again.
            found = await provider.observe(desired.origin)
            if found is not None:
                return found.id
        except Retryable as error:
            await asyncio.sleep(error.delay or 0.2)
    raise AssertionError(f"{desired.origin.name} could not be made")


@contextmanager
def no_verdict() -> Iterator[None]:
    """For a call whose answer was lost: if it raises, then an error that is waited for, and no attempt."""
    try:
        yield
    except Retryable as error:
        if error.waits_for is None:
            raise AssertionError(f"no answer is no verdict on the spec: {error}") from error


async def settled(provider: ComputeProvider, resource: Resource) -> Resource:
    """The resource once its platform has brought it up, or has given up."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            found = await provider.inspect(resource.id)
            assert found is not None
            if found.state is not ResourceState.STARTING:
                return found
            await asyncio.sleep(0.2)


def unmoved(resource: Resource) -> tuple[Any, ...]:
    """The parts that stay the same while nothing touches the resource. Ports chosen at each start are among its
    endpoints."""
    return resource.id, resource.name, resource.origin, resource.state, resource.endpoints


def ids(resources: Sequence[Resource]) -> list[str]:
    return sorted(resource.id for resource in resources)
