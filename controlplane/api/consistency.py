"""Compares rows with actors and resources, and names every difference. Work in flight is not a difference.

A difference that a restart, a sweep or the next step of a running execution is about to mend is not reported. If a
tenant has unfinished executions, only the liveness of its owner is judged.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import LandlordError, told
from controlplane.model import Status
from controlplane.persistence import bootstrap, chain, compatibility, fleet, nodes, running_role
from controlplane.persistence.database import single
from controlplane.persistence.fleet import ExecutionFact, TenantFact
from controlplane.persistence.resting import Drift, Serving, by_execution, resting
from controlplane.ports import ComputeProvider, Resource, TenantDirectory

TRAIL = 20_000
LISTING_SECONDS = 40.0
"""For one provider."""
RETURN_SECONDS = 60.0
"""An effect may return this long after its attempt was given up: the time-outs of SDKs are shorter."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`kind` is one of: missing_resource; stopped_resource; changed_resource (its labels are those of another spec);
    duplicate (a second one has the labels of one that serves); leftover; orphan; not_serving; unowned_work;
    hung_effect (an attempt at a step has outlived its time, since a platform does not return); actor_without_tenant;
    turn_fails (its owner left because of that, and comes back); other_engine; broken_trail; other_release (this one
    cannot work on the database); unchecked (the provider does not answer, or is not enabled)."""

    kind: str
    tenant: str | None
    resource: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is weaker than it could be, and no difference. `kind`: changeable_trail (the role that runs may
    change and delete events)."""

    kind: str
    detail: str


async def notes(database: AsyncEngine) -> list[Note]:
    if not await running_role.may_change_events(database):
        return []
    detail = "the database role that runs may change and delete events; set LANDLORD_DATABASE_OWNER_URL"
    return [Note("changeable_trail", detail)]


async def differences(
    database: AsyncEngine,
    compute: Mapping[str, ComputeProvider],
    directory: TenantDirectory,
    *,
    step_seconds: float = 600.0,
) -> list[Difference]:
    """All present differences. `step_seconds`: the time that an attempt at a step has. Raises Unavailable if the
    cluster does not answer."""
    installation_id = await bootstrap.installation_id(database)
    found: list[Difference] = []
    if (wrong := await compatibility.trouble(database)) is not None:
        found.append(Difference("other_release", None, None, wrong))
    listings: dict[str, tuple[str, list[Resource]]] = {}
    for name, provider in compute.items():
        try:
            async with asyncio.timeout(LISTING_SECONDS):
                # Before the rows.
                listings[name] = await provider.identity(), await provider.list_owned(installation_id)
        except (LandlordError, TimeoutError) as error:
            why = told(error, f"no answer within {LISTING_SECONDS:g} s")
            found.append(Difference("unchecked", None, None, f"{name}: {why}"))
    at_rest = await resting(database)
    elsewhere = await _elsewhere(database)
    for name, (identity, listed) in listings.items():
        known = await fleet.facts(database, {resource.origin.execution_id for resource in listed})
        found += _unwanted(name, listed, known)
        others = {there for platform, there in elsewhere if platform == name and there != identity}
        ours = [one for one in at_rest if one.platform == name and one.platform_identity not in others]
        found += _drifted(identity, ours, listed)
    for one in at_rest:
        if one.platform not in compute:
            detail = f"compute provider {one.platform!r}, which serves it, is not enabled"
            found.append(Difference("unchecked", one.tenant.name, one.resource_id, detail))
    found += await _hung(database, step_seconds + RETURN_SECONDS)
    found += await _broken(database)
    live = set(await directory.live())
    found += _misplaced(await fleet.tenant_facts(database), live)
    return found


async def _elsewhere(database: AsyncEngine) -> set[tuple[str, str]]:
    """Provider and identity of the platforms of each machine of a cluster of several: each looks at its own. A head
    that is gone has none: nobody looks there any more."""
    async with single(database) as connection:
        known = await nodes.known(connection)
    several = sum(node.alive for node in known) > 1
    return {item for node in known if not node.head or (node.alive and several) for item in node.platforms.items()}


async def _hung(database: AsyncEngine, seconds: float) -> list[Difference]:
    return [
        Difference("hung_effect", found.tenant, None, f"{found.step} of {found.execution_id} is in {found.call}")
        for found in await fleet.steps_in_call(database, seconds)
    ]


async def _broken(database: AsyncEngine) -> list[Difference]:
    """Checks only the newest events; `landlord events verify` checks all."""
    verdict = await chain.verify(database, newest=TRAIL)
    detail = "this event, or the one before it, is not as it was written"
    return [Difference("broken_trail", None, f"event {id}", detail) for id in verdict.broken]


def _unwanted(provider: str, listed: Iterable[Resource], known: Mapping[str, ExecutionFact]) -> Iterable[Difference]:
    for resource in listed:
        tenant, execution = resource.origin.tenant_name or None, resource.origin.execution_id
        fact = known.get(execution)
        if fact is None:
            yield Difference(
                "orphan", tenant, resource.id, f"{provider} {resource.name}: no row knows {execution or 'it'}"
            )
        elif fact.leftover and not fact.busy:
            yield Difference("leftover", tenant, resource.id, f"{provider} {resource.name}: {execution} is over")


def _drifted(identity: str, at_rest: Iterable[Serving], listed: Iterable[Resource]) -> Iterable[Difference]:
    there = by_execution(listed)
    for serving in at_rest:
        tenant = serving.tenant.name
        resource = serving.resource_among(there)
        if serving.platform_identity != identity:
            detail = f"placed on platform {serving.platform_identity}; {serving.platform} is {identity} now"
            yield Difference("other_engine", tenant, serving.resource_id, detail)
            continue
        match serving.drift(resource):
            case Drift.GONE:
                detail = f"{serving.execution_id} made it; it is gone"
                yield Difference("missing_resource", tenant, serving.resource_id, detail)
            case Drift.STOPPED if resource:
                yield Difference("stopped_resource", tenant, resource.id, resource.detail)
            case Drift.CHANGED if resource:
                detail = f"{resource.name} has the spec hash {resource.origin.spec_hash}, not {serving.spec_hash}"
                yield Difference("changed_resource", tenant, resource.id, detail)
        for copy in there.get(serving.execution_id, ()):
            if resource is not None and copy.id != resource.id:
                detail = f"{copy.name} has the labels of {resource.name}"
                yield Difference("duplicate", tenant, copy.id, detail)


def _misplaced(tenants: Iterable[TenantFact], live: set[str]) -> Iterable[Difference]:
    named = set()
    for fact in tenants:
        named.add(fact.key.name)
        if fact.unfinished and not fact.waiting and fact.key.name not in live and not fact.leased:
            yield Difference("unowned_work", fact.key.name, None, "has due work and no live owner")
        if fact.failing_at is not None:
            detail = f"its owner left, since its turns fail at {fact.failing_at}; see its condition Reconciled"
            yield Difference("turn_fails", fact.key.name, None, detail)
        if fact.status in (Status.READY, Status.DEGRADED) and not fact.serving and not fact.unfinished:
            yield Difference("not_serving", fact.key.name, None, f"is {fact.status} and nothing serves it")
    for name in sorted(live - named):
        yield Difference("actor_without_tenant", name, None, "an actor is live, but its tenant is not")
