"""The order of `apply` that every provider keeps: observe, gate, create, gate, make way, start, gate.

A provider brings the four verbs; what they must promise stands in `Verbs`.
"""

from collections.abc import Mapping
from typing import Protocol

from controlplane.errors import NameConflict, NotCurrent, Retryable
from controlplane.ports import DesiredResource, ExecutionGate, Origin, Resource, ResourceState


class Verbs(Protocol):
    """What `apply_gated` needs of a provider."""

    async def observe(self, origin: Origin) -> Resource | None: ...

    async def create(self, desired: DesiredResource) -> str | None:
        """Create it without starting it, labels included, in one atomic step. None: the name is taken."""
        ...

    async def start(self, resource_id: str) -> None: ...

    async def inspect(self, resource_id: str) -> Resource | None: ...


async def apply_gated(verbs: Verbs, desired: DesiredResource, gate: ExecutionGate) -> Resource:
    """Make it exist and run; a repeated or concurrent call adopts what is there.

    Raises NotCurrent (`made`: the id that this very call created), NameConflict, Retryable, and what the verbs raise.
    """
    wanted = desired.origin
    made: str | None = None
    found = await verbs.observe(wanted)
    if found is None:
        await _pass(gate, wanted, None)
        made = await verbs.create(desired)
        found = await (verbs.observe(wanted) if made is None else verbs.inspect(made))
    if found is None:
        raise Retryable(f"{wanted.name} was there a moment ago and is gone again")
    if found.state not in (ResourceState.CREATED, ResourceState.STOPPED):
        return found
    # One question serves as the gate after create and as the one before start.
    await _pass(gate, wanted, made)
    if await gate.make_way():
        await _pass(gate, wanted, made)
    await verbs.start(found.id)
    await _pass(gate, wanted, made)
    started = await verbs.inspect(found.id)
    if started is None:
        raise Retryable(f"{wanted.name} was removed while it was being started")
    return started


async def _pass(gate: ExecutionGate, wanted: Origin, made: str | None) -> None:
    if not await gate.current():
        raise NotCurrent(
            f"{wanted.execution_id} is no longer current; {wanted.name} is left to its successor",
            made=made,
            execution=wanted.execution_id,
        )


def adoptable(labels: Mapping[str, str], wanted: Origin) -> bool:
    """Whether the thing under our name, which bears these labels, is the one we want.

    False: the tenant's own, of another generation, run or spec. Raises NameConflict: somebody else's.
    """
    found = Origin.from_labels(labels)
    if found is None or (found.installation_id, found.tenant_id) != (wanted.installation_id, wanted.tenant_id):
        raise NameConflict(
            f"{wanted.name} exists and belongs to somebody else; remove it or rename the tenant",
            resource=wanted.name,
            execution=wanted.execution_id,
        )
    return (found.order, found.spec_hash) == (wanted.order, wanted.spec_hash)
