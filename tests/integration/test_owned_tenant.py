"""Guarded writes against a real Postgres: leases, fences, the switch, how executions end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import LeaseLost, Refused
from controlplane.model import (
    ClusterState,
    ComputeSpec,
    Endpoint,
    EventType,
    Execution,
    ExecutionState,
    Observed,
    Status,
    StepName,
    StopCause,
    Tenant,
    TenantSpec,
)
from controlplane.persistence import clusters, executions, fleet, intents, leases, pauses, tables, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import transaction
from tests.integration.owner import create, delete, patch

SPEC = TenantSpec(compute=ComputeSpec(provider="fake"))
OTHER = TenantSpec(compute=ComputeSpec(provider="fake", config={"color": "red"}))
OBSERVED = Observed(endpoints=(Endpoint("http", "http://127.0.0.1:1", 80),), resources={"fake": "1"}, healthy=True)


async def owned(database: AsyncEngine, name: str = "acme") -> tuple[OwnedTenant, Tenant, Execution]:
    """A tenant with its first execution running under a lease."""
    tenant, execution = await create(database, name, SPEC)
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    own = OwnedTenant(database, tenant.id, fence, owner="test")
    assert await own.promote(execution.id)
    assert await own.running(execution.id, "ref")
    return own, tenant, execution


async def status_of(database: AsyncEngine, name: str = "acme") -> Status:
    view = await tenants.get(database, name)
    assert view is not None
    return view.tenant.status


async def state_of(database: AsyncEngine, id: str) -> Execution:
    found = await executions.get(database, id)
    assert found is not None
    return found[0]


async def trail_of_steps(database: AsyncEngine) -> list[list[Any]]:
    """All steps as their rows tell them, and all events."""
    async with database.connect() as connection:
        by_position = select(tables.steps).order_by(tables.steps.c.position)
        return [
            list((await connection.execute(query)).all())
            for query in (by_position, select(tables.events).order_by(tables.events.c.id))
        ]


async def test_of_30_concurrent_creates_of_one_name_one_wins(database: AsyncEngine) -> None:
    answers = await asyncio.gather(*(create(database, "acme", SPEC) for _ in range(30)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [answer.code for answer in refused] == ["tenant_exists"] * 29
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM executions"))).scalar_one() == 1


async def test_event_ids_are_in_commit_order(database: AsyncEngine) -> None:
    """A reader that polls by id while 40 transactions commit sees each event once and none appear behind it."""
    seen: list[int] = []
    writing = asyncio.gather(*(create(database, f"t{n}", SPEC) for n in range(40)))
    while not writing.done() or len(seen) < 40:
        async with database.connect() as connection:
            query = (
                select(tables.events.c.id)
                .where(tables.events.c.id > (seen[-1] if seen else 0))
                .order_by(tables.events.c.id)
            )
            seen += list((await connection.execute(query)).scalars())
    async with database.connect() as connection:
        assert seen == list(
            (await connection.execute(select(tables.events.c.id).order_by(tables.events.c.id))).scalars()
        )


class TestLease:
    async def test_a_successor_in_the_same_cluster_takes_over_at_once(self, database: AsyncEngine) -> None:
        own, tenant, _ = await owned(database)
        assert await leases.acquire(database, tenant.id, cluster_id="here", actor_id="b") == own.fence + 1

    async def test_another_clusters_valid_lease_is_respected_until_it_expires(self, database: AsyncEngine) -> None:
        own, tenant, _ = await owned(database)
        assert await leases.acquire(database, tenant.id, cluster_id="there", actor_id="b") is None
        async with database.begin() as connection:
            await connection.execute(
                update(tables.tenants).values(lease_expires_at=text("clock_timestamp() - interval '1 second'"))
            )
        assert await leases.acquire(database, tenant.id, cluster_id="there", actor_id="b") == own.fence + 1

    async def test_the_lease_of_an_ended_cluster_is_free_at_once(self, database: AsyncEngine) -> None:
        own, tenant, _ = await owned(database)
        async with database.begin() as connection:
            await connection.execute(
                tables.clusters.insert().values(id="here", home="/h", build="b", state=ClusterState.ENDED)
            )
        assert await leases.acquire(database, tenant.id, cluster_id="there", actor_id="b") == own.fence + 1

    async def test_an_expired_lease_that_nobody_took_is_renewed(self, database: AsyncEngine) -> None:
        own, tenant, _ = await owned(database)
        async with database.begin() as connection:
            await connection.execute(
                update(tables.tenants).values(lease_expires_at=text("clock_timestamp() - interval '1 hour'"))
            )
        assert await leases.renew(database, tenant.id, own.fence)
        assert await leases.acquire(database, tenant.id, cluster_id="there", actor_id="b") is None

    async def test_a_stale_owner_writes_nothing(self, database: AsyncEngine) -> None:
        stale, tenant, execution = await owned(database)
        await leases.acquire(database, tenant.id, cluster_id="here", actor_id="b")
        assert not await leases.renew(database, tenant.id, stale.fence)
        for write in (
            stale.load(),
            stale.planned(execution.id),
            stale.stop(execution.id, StopCause.CANCELLED, "late"),
            stale.finish(execution.id, ExecutionState.FAILED, "late"),
            stale.observed(1, OBSERVED),
            stale.heal(1, execution, "late", default_workflow="embedded"),
        ):
            with pytest.raises(LeaseLost):
                await write
        assert (await state_of(database, execution.id)).state is ExecutionState.RUNNING
        await leases.release(database, tenant.id, stale.fence)
        view = await tenants.get(database, "acme")
        assert view is not None
        assert view.tenant.lease_owner == "here/b"

    async def test_a_drain_does_not_wait_for_owners_that_are_dead(self, database: AsyncEngine) -> None:
        """Nobody gives their leases back: they are left once they have expired."""
        async with database.begin() as connection:
            for id in ("here", "there"):
                await connection.execute(
                    tables.clusters.insert().values(id=id, home="/h", build="b", state=ClusterState.ACTIVE)
                )
        for name in ("acme", "other"):
            await owned(database, name)
        since = await clusters.drain(database, "here", actor="test")
        assert since is not None
        assert await clusters.left(database, "here", since=since) is None, "its supervisor may still admit tenants"
        await fleet.beat(database, "here", {})
        await fleet.beat(database, "there", {})
        assert await clusters.left(database, "here", since=since) == 2
        assert await clusters.left(database, "there", since=since) == 0
        async with database.begin() as connection:
            await connection.execute(
                update(tables.tenants)
                .where(tables.tenants.c.name == "acme")
                .values(lease_expires_at=text("clock_timestamp() - interval '1 second'"))
            )
        assert await clusters.left(database, "here", since=since) == 1


class TestSwitch:
    async def test_a_stopping_execution_cannot_switch(self, database: AsyncEngine) -> None:
        own, _, execution = await owned(database)
        store = PostgresExecutionStore(database)
        await own.stop(execution.id, StopCause.SUPERSEDED, "newer")
        assert not await store.current(execution.id)
        assert not await store.switch(execution.id, OBSERVED)
        assert await store.removable(execution.id)

    async def test_after_the_switch_an_execution_cannot_be_stopped_and_only_succeeds(
        self, database: AsyncEngine
    ) -> None:
        own, _, execution = await owned(database)
        store = PostgresExecutionStore(database)
        assert await store.switch(execution.id, OBSERVED)
        assert await store.switch(execution.id, OBSERVED), "the switch is idempotent"
        assert not await own.stop(execution.id, StopCause.CANCELLED, "late")
        assert not await store.removable(execution.id)
        assert await own.finish(execution.id, ExecutionState.FAILED, "lost") is None, "decide again: it has switched"
        assert (await state_of(database, execution.id)).state is ExecutionState.RUNNING
        assert await own.finish(execution.id, ExecutionState.SUCCEEDED) is ExecutionState.SUCCEEDED
        assert await status_of(database) is Status.READY

    async def test_endpoints_become_visible_with_the_switch(self, database: AsyncEngine) -> None:
        _, _, execution = await owned(database)
        await PostgresExecutionStore(database).switch(execution.id, OBSERVED)
        view = await tenants.get(database, "acme")
        assert view is not None
        assert view.tenant.observed.endpoints == OBSERVED.endpoints


class TestEnding:
    async def test_an_execution_ends_once(self, database: AsyncEngine) -> None:
        own, _, execution = await owned(database)
        assert await own.finish(execution.id, ExecutionState.FAILED, "no") is ExecutionState.FAILED
        assert await own.finish(execution.id, ExecutionState.SUCCEEDED) is None
        assert await status_of(database) is Status.FAILED

    @pytest.mark.parametrize("outcome", [ExecutionState.FAILED, ExecutionState.SUCCEEDED])
    async def test_a_runner_that_comes_late_changes_no_step(
        self, database: AsyncEngine, outcome: ExecutionState
    ) -> None:
        own, _, execution = await owned(database)
        store, done, on = PostgresExecutionStore(database), StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY
        await store.step_started(execution.id, done)
        await store.step_succeeded(execution.id, done)
        await store.step_started(execution.id, on)
        if outcome is ExecutionState.SUCCEEDED:
            assert await store.switch(execution.id, OBSERVED)
        assert await own.finish(execution.id, outcome, "over") is outcome
        before = await trail_of_steps(database)
        for step in (done, on, StepName.RETIRE_PREVIOUS):
            assert await store.step_started(execution.id, step) is None
            await store.step_succeeded(execution.id, step)
            await store.step_failed(execution.id, step, "late", datetime.now(UTC))
            await store.step_failed(execution.id, step, "late", None)
        assert await trail_of_steps(database) == before

    async def test_a_forced_delete_writes_an_event_for_each_execution_that_it_ends(self, database: AsyncEngine) -> None:
        _, tenant, running = await owned(database)
        queued = await patch(database, "acme", OTHER)
        async with transaction(database, actor="an admin") as tx:
            locked = await tenants.lock_by_name(tx, "acme")
            assert locked is not None
            await intents.force_delete(tx, locked)
        async with database.connect() as connection:
            query = select(tables.events).where(
                tables.events.c.tenant_id == tenant.id, tables.events.c.type == EventType.EXECUTION_CANCELLED
            )
            told = (await connection.execute(query.order_by(tables.events.c.id))).all()
        assert {event.execution_id for event in told} == {running.id, queued.id}
        assert {(event.actor, event.message) for event in told} == {("an admin", "the tenant was deleted by force")}
        for execution in (running, queued):
            assert (await state_of(database, execution.id)).state is ExecutionState.CANCELLED

    async def test_ready_only_at_the_tenants_own_generation(self, database: AsyncEngine) -> None:
        own, _, execution = await owned(database)
        newer = await patch(database, "acme", OTHER)
        await own.finish(execution.id, ExecutionState.SUCCEEDED)
        view = await tenants.get(database, "acme")
        assert view is not None
        assert (view.tenant.observed_generation, view.tenant.generation) == (1, 2)
        assert view.tenant.status is Status.PLANNING
        assert view.execution.id == newer.id

    async def test_a_second_patch_supersedes_the_queued_one(self, database: AsyncEngine) -> None:
        await owned(database)
        second = await patch(database, "acme", OTHER)
        third = await patch(database, "acme", SPEC)
        overtaken = await state_of(database, second.id)
        assert overtaken.state is ExecutionState.SUPERSEDED
        assert overtaken.superseded_by == third.id

    async def test_what_is_paused_meanwhile_is_not_promoted(self, database: AsyncEngine) -> None:
        tenant, execution = await create(database, "acme", SPEC)
        fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
        assert fence is not None
        own = OwnedTenant(database, tenant.id, fence, owner="test")
        async with transaction(database, actor="test") as tx:
            locked = await tenants.lock(tx, tenant.id)
            assert locked is not None
            await pauses.pause(tx, locked)
        assert not await own.promote(execution.id)
        async with transaction(database, actor="test") as tx:
            locked = await tenants.lock(tx, tenant.id)
            assert locked is not None
            await pauses.resume(tx, locked)
        for scope in ("all", "provider:fake"):
            await pauses.pause_scope(database, scope, actor="test")
            assert not await own.promote(execution.id), scope
            await pauses.resume_scope(database, scope, actor="test")
        assert await own.promote(execution.id)

    async def test_a_failed_delete_is_followed_by_its_next_run_with_growing_pauses(self, database: AsyncEngine) -> None:
        own, _, execution = await owned(database)
        await delete(database, "acme")
        await own.finish(execution.id, ExecutionState.SUPERSEDED)
        pauses = []
        for run in (1, 2, 3):
            view = await tenants.get(database, "acme")
            assert view is not None
            assert view.execution.run == run
            await own.promote(view.execution.id)
            await own.finish(view.execution.id, ExecutionState.FAILED, "the platform is away")
            after = await tenants.get(database, "acme")
            assert after is not None
            assert after.execution.id.endswith(f"-r{run + 1}")
            assert after.tenant.status is Status.DELETING
            assert after.execution.next_attempt_at is not None
            pauses.append((after.execution.next_attempt_at - after.execution.created_at).total_seconds())
        assert pauses == sorted(pauses)
        assert pauses[-1] > pauses[0]

    async def test_a_deleted_name_is_free_and_its_past_is_kept(self, database: AsyncEngine) -> None:
        own, tenant, execution = await owned(database)
        last = await delete(database, "acme")
        await own.finish(execution.id, ExecutionState.SUPERSEDED)
        await own.promote(last.id)
        await own.finish(last.id, ExecutionState.SUCCEEDED)
        reborn, first = await create(database, "acme", SPEC)
        assert reborn.id != tenant.id
        assert first.id != execution.id
        assert (await state_of(database, execution.id)).state is ExecutionState.SUPERSEDED

    async def test_deletion_cannot_be_undone(self, database: AsyncEngine) -> None:
        await owned(database)
        asked = await delete(database, "acme")
        assert (await delete(database, "acme")).id == asked.id
        with pytest.raises(Refused, match="cannot be undone"):
            await patch(database, "acme", OTHER)
        async with transaction(database) as tx:
            tenant = await tenants.lock_by_name(tx, "acme")
            assert tenant is not None
            with pytest.raises(Refused, match="cannot be undone"):
                await intents.retry(tx, tenant, default_workflow="embedded")


async def test_an_observation_is_void_once_an_execution_was_queued(database: AsyncEngine) -> None:
    own, _, execution = await owned(database)
    await PostgresExecutionStore(database).switch(execution.id, OBSERVED)
    await own.finish(execution.id, ExecutionState.SUCCEEDED)
    epoch = (await own.load()).tenant.epoch
    await patch(database, "acme", OTHER)
    assert not await own.observed(epoch, Observed(healthy=False))
    assert await own.heal(epoch, execution, "gone", default_workflow="embedded") is None
