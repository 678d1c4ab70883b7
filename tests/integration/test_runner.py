"""A tenant's whole life under the real runner, engine and rows: overlap, failure, death of owners, healing."""

import logging
import platform

import pytest

from controlplane.lifecycle.transitions import Cause
from controlplane.model import ConditionType, ExecutionState, Observed, PlacementState, Reason, Status, SubState
from controlplane.persistence import events, executions, leases, placements
from controlplane.persistence.owned_tenant import OwnedTenant
from providers.compute.fake import FakeCloud
from tests.integration.owner import REQUEST, World, spec

SICK = {"health": ["unhealthy"]}


async def states(world: World, view_tenant_id: object) -> list[str]:
    return [e.state.value for e in await executions.page(world.database, view_tenant_id, limit=50)]  # type: ignore[arg-type]


async def test_create_update_delete(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        view = await world.settled(tenant, Status.READY, 1)
        assert view.tenant.observed.endpoints
        assert await world.instances() == [(1, 1, "running")]
        await world.patch(spec("2"))
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.READY, 2)
        assert await world.instances() == [(2, 1, "running")]
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.DELETED)
        assert await world.instances() == []
    assert await states(world, tenant.id) == ["succeeded"] * 3


async def test_it_provisions_once_its_plan_step_is_through(world: World) -> None:
    """Its engine reports that another step has begun, which is news although nothing else has changed."""
    tenant = await world.create(spec("1", health=["starting"]))
    async with world.owner(tenant):
        view = await world.until(tenant, lambda v: v.tenant.status is Status.PROVISIONING)
        assert view.execution.sub_state is SubState.RUNNING


async def test_each_change_is_a_line_with_tenant_execution_request_fence_and_node(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = await world.create(spec("1"))
    with caplog.at_level(logging.INFO, logger="actors.tenant.runner"):
        async with world.owner(tenant):
            view = await world.settled(tenant, Status.READY, 1)
    lines = [record for record in caplog.records if hasattr(record, "fence")]
    said = [line.getMessage() for line in lines]
    assert said[0] == f"{tenant.name}: Promote {view.execution.id}"
    assert f"{tenant.name}: Finish {view.execution.id}" in said
    kept = {
        (line.tenant, line.execution, line.request_id, line.fence, line.node)  # type: ignore[attr-defined]
        for line in lines
    }
    assert kept == {(tenant.name, view.execution.id, REQUEST, 1, platform.node())}
    assert not any("Look" in line for line in said), "a look each second is no change"


class TestOverlap:
    async def test_what_runs_healthily_is_let_finish_and_the_newest_follows(self, world: World) -> None:
        tenant = await world.create(spec("1", probe={"start_period_seconds": 60}, **SICK))
        async with world.owner(tenant) as owner:
            first = (await world.until(tenant, lambda v: bool(world.cloud.instances()))).execution
            second = await world.patch(spec("2"))
            third = await world.patch(spec("3"))
            owner.mailbox.mark_dirty()
            running = await executions.get(world.database, first.id)
            assert running is not None
            assert running[0].state is ExecutionState.RUNNING, "not disturbed"
            (instance,) = world.cloud.instances()
            world.cloud.alter(instance.id, health=["healthy"])
            await world.settled(tenant, Status.READY, 3)
        assert await states(world, tenant.id) == ["succeeded", "superseded", "succeeded"]
        overtaken = await executions.get(world.database, second.id)
        assert overtaken is not None
        assert overtaken[0].superseded_by == third.id
        assert await world.instances() == [(3, 1, "running")]

    async def test_what_backs_off_is_restarted_with_the_newest(self, world: World) -> None:
        tenant = await world.create(spec("1", **SICK))
        async with world.owner(tenant) as owner:
            failing = await world.until(tenant, lambda v: v.execution.sub_state is SubState.BACKING_OFF)
            assert failing.execution.error
            newest = await world.patch(spec("2"))
            owner.mailbox.mark_dirty()
            view = await world.settled(tenant, Status.READY, 2)
            assert view.execution.retry_count == 0
        overtaken = await executions.get(world.database, failing.execution.id)
        assert overtaken is not None
        assert overtaken[0].state is ExecutionState.SUPERSEDED
        assert overtaken[0].stop_reason == "Configuration updated"
        assert overtaken[0].superseded_by == newest.id
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_delete_supersedes_whatever_runs(self, world: World) -> None:
        tenant = await world.create(spec("1", probe={"start_period_seconds": 60}, **SICK))
        async with world.owner(tenant) as owner:
            await world.until(tenant, lambda v: bool(world.cloud.instances()))
            await world.delete()
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.DELETED)
        assert await states(world, tenant.id) == ["succeeded", "superseded"]
        assert await world.instances() == []


class TestFailure:
    async def test_a_failed_first_provision_leaves_nothing(self, world: World) -> None:
        tenant = await world.create(spec("1", refuses="there is no such image"))
        async with world.owner(tenant):
            view = await world.settled(tenant, Status.FAILED)
            assert "there is no such image" in view.tenant.status_message
            await world.until(tenant, lambda v: not world.cloud.instances())

    async def test_a_failed_update_keeps_the_old_one_serving_and_a_patch_back_is_ready(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant) as owner:
            served = await world.settled(tenant, Status.READY, 1)
            await world.patch(spec("2", probe={"deadline_seconds": 0.3}, **SICK))
            owner.mailbox.mark_dirty()
            view = await world.settled(tenant, Status.FAILED)
            assert "not healthy after 0.3 s" in view.tenant.status_message
            assert view.tenant.observed.endpoints == served.tenant.observed.endpoints
            await world.until(tenant, lambda v: len(world.cloud.instances()) == 1)
            assert await world.instances() == [(1, 1, "running")]
            await world.patch(spec("1"))
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.READY, 3)
            assert await world.instances() == [(3, 1, "running")]

    async def test_what_exits_and_is_started_again_says_why_it_exited(self, world: World) -> None:
        """It runs when the deadline is over: what is seen then is that it does not answer."""
        tenant = await world.create(spec("1", probe={"deadline_seconds": 2}, **SICK))
        async with world.owner(tenant):
            await world.until(tenant, lambda v: any(i.state == "running" for i in world.cloud.instances()))
            (instance,) = world.cloud.instances()
            await world.cloud.stop(instance.id)
            view = await world.settled(tenant, Status.FAILED)
        assert view.tenant.status_message.startswith("not healthy after 2 s: the instance is stopped")

    async def test_execute_and_timeout_makes_one_resource(self, world: World) -> None:
        world.cloud.script("create", "times out")
        world.cloud.script("start", "times out")
        tenant = await world.create(spec("1"))
        async with world.owner(tenant):
            await world.settled(tenant, Status.READY, 1)
        assert world.cloud.calls["create"] == 1
        assert await world.instances() == [(1, 1, "running")]

    async def test_ready_means_that_the_replaced_resource_is_gone(self, world: World) -> None:
        """However often its removal fails: here more often than a step may."""
        tenant = await world.create(spec("1"))
        async with world.owner(tenant, max_attempts=2) as owner:
            await world.settled(tenant, Status.READY, 1)
            world.cloud.script("destroy", *["fails"] * 7)
            await world.patch(spec("2"))
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.READY, 2)
            assert world.cloud.calls["destroy"] == 8
            assert await world.instances() == [(2, 1, "running")]

    async def test_a_delete_takes_over_what_an_update_cannot_remove(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant, max_attempts=2) as owner:
            await world.settled(tenant, Status.READY, 1)
            world.cloud.script("destroy", *["fails"] * 8)
            await world.patch(spec("2"))
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: world.cloud.calls.get("destroy", 0) > 4)
            await world.delete()
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.DELETED)
            assert await world.instances() == []

    async def test_a_platform_that_is_away_only_delays_a_delete(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant, max_attempts=1) as owner:
            await world.settled(tenant, Status.READY, 1)
            world.cloud.script("destroy", "fails", "fails")
            await world.delete()
            owner.mailbox.mark_dirty()
            view = await world.settled(tenant, Status.DELETED)
            assert view.execution.run == 1, "it waits, whatever the bound of attempts"
        assert await world.instances() == []


class TestDeath:
    """An owner that dies at any moment: the next one finishes, one resource, no execution twice."""

    @pytest.mark.parametrize("moment", range(12))
    async def test_at_any_moment_of_a_provision(self, world: World, moment: int) -> None:
        world.cloud = FakeCloud(identity="cloud", latency=0.01)
        tenant = await world.create(spec("1"))
        async with world.owner(tenant) as first:
            for _ in range(moment):
                await world.until(tenant, lambda v: True)
            await first.die()
            async with world.owner(tenant):
                await world.settled(tenant, Status.READY, 1)
        assert await world.instances() == [(1, 1, "running")]
        assert await states(world, tenant.id) == ["succeeded"]

    async def test_a_zombie_writes_nothing_once_another_owns_the_tenant(self, world: World) -> None:
        tenant = await world.create(spec("1", probe={"start_period_seconds": 60}, **SICK))
        async with world.owner(tenant) as zombie:
            await world.until(tenant, lambda v: bool(world.cloud.instances()))
            async with world.owner(tenant):
                zombie.mailbox.mark_dirty()
                assert await zombie.ended() == "lost"
                (instance,) = world.cloud.instances()
                world.cloud.alter(instance.id, health=["healthy"])
                await world.settled(tenant, Status.READY, 1)
        assert await world.instances() == [(1, 1, "running")]


async def test_a_step_that_wakes_up_after_a_forced_delete_claims_nothing(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as zombie:
        async with world.held("apply_compute.before_record") as reached:
            view = await world.until(tenant, lambda v: reached.exists())
            await world.force_delete()
        await zombie.run_ended(view.execution.id)
    left = await placements.of_execution(world.database, view.execution.id)
    assert left is not None
    assert left.state is PlacementState.ABANDONED


async def test_an_owner_that_is_to_make_room_leaves_as_soon_as_it_is_at_rest(world: World) -> None:
    """Idle owners of this world never leave by themselves."""
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        async with world.held("apply_compute.before_record") as reached:
            await world.until(tenant, lambda v: reached.exists())
            owner.hurry()
        assert await owner.ended() == "passivated"
        view = await world.settled(tenant, Status.READY, 1)
        assert view.execution.state is ExecutionState.SUCCEEDED, "not before its work was done"
    async with world.owner(tenant) as owner:
        await world.until(tenant, lambda v: not owner.mailbox.dirty)
        owner.hurry()
        assert await owner.ended() == "passivated"


async def test_a_heal_that_is_cancelled_while_it_waits_is_followed_by_the_next_one(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
    (instance,) = world.cloud.instances()
    world.cloud.lose(instance.id)
    fence = await leases.acquire(world.database, tenant.id, cluster_id="test", actor_id="a")
    assert fence is not None
    slow = OwnedTenant(world.database, tenant.id, fence, owner="test")
    rows = await slow.load()
    assert await slow.observed(rows.tenant.epoch, Observed(healthy=False), cause=Cause.UNHEALTHY)
    assert rows.serving is not None
    heal = await slow.heal(rows.tenant.epoch, rows.serving, "gone", default_workflow="embedded")
    assert heal is not None
    await world.cancel(heal)
    async with world.owner(tenant):
        await world.until(tenant, lambda v: v.execution.run == 3 and v.tenant.status is Status.READY)
    assert (await states(world, tenant.id)) == ["succeeded", "cancelled", "succeeded"]
    assert await world.instances() == [(1, 3, "running")]


class TestWhatServesIsKept:
    """Whatever the newest execution did."""

    async def test_after_a_failed_update_what_is_lost_is_made_again_from_its_own_snapshot(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            await world.patch(spec("2", probe={"deadline_seconds": 0.3}, **SICK))
            owner.mailbox.mark_dirty()
            failed = await world.settled(tenant, Status.FAILED)
            await world.until(tenant, lambda v: len(world.cloud.instances()) == 1)
            (instance,) = world.cloud.instances()
            world.cloud.lose(instance.id)
            lost = await world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
            assert "generation 2 failed: not healthy after 0.3 s" in lost.tenant.status_message
            kept = await world.until(
                tenant, lambda v: v.tenant.status is Status.FAILED and v.tenant.observed.healthy is True
            )
        assert await world.instances() == [(1, 2, "running")]
        assert kept.execution.id == failed.execution.id, "the newest execution is the one that failed"
        assert "not healthy after 0.3 s" in kept.tenant.status_message
        assert kept.tenant.observed_generation == 1
        served = await executions.get(world.database, kept.tenant.serving_execution or "")
        assert served is not None
        assert (served[0].generation, served[0].run, served[0].trigger_source) == (1, 2, "supervisor")
        assert served[0].spec.compute.config["version"] == "1"

    async def test_a_retry_while_it_is_healed_takes_over(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            await world.patch(spec("2", refuses="there is no such image"))
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.FAILED)
            await world.until(tenant, lambda v: len(world.cloud.instances()) == 1)
            (instance,) = world.cloud.instances()
            world.cloud.lose(instance.id)
            await world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
            await world.retry()
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: v.execution.run == 2 and v.execution.state is ExecutionState.FAILED)
            await world.until(tenant, lambda v: v.tenant.status is Status.FAILED and v.tenant.observed.healthy is True)
        assert [(g, state) for g, _, state in await world.instances()] == [(1, "running")]

    async def test_a_heal_that_fails_is_tried_again_within_the_budget(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            (instance,) = world.cloud.instances()
            world.cloud.script("create", *["refuses"] * 4)
            world.cloud.lose(instance.id)
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: v.execution.state is ExecutionState.FAILED)
            await world.until(tenant, lambda v: v.tenant.status is Status.READY and v.execution.run > 2)


class TestKeeping:
    async def test_gone_behind_its_back_is_healed_by_the_next_run(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant):
            await world.settled(tenant, Status.READY, 1)
            (instance,) = world.cloud.instances()
            world.cloud.lose(instance.id)
            view = await world.until(tenant, lambda v: v.execution.run == 2 and v.tenant.status is Status.READY)
            assert view.execution.trigger_source == "supervisor"
            assert view.tenant.generation == 1
            await world.until(tenant, lambda v: v.tenant.observed.healthy is True)
        assert await world.instances() == [(1, 2, "running")]

    async def test_a_wake_up_that_asks_for_it_looks_whatever_the_interval(self, world: World) -> None:
        """As the sweep's, which has seen that something is gone, and a client's reconcile."""
        tenant = await world.create(spec("1", probe={"interval_seconds": 3600}))
        async with world.owner(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            await world.until(tenant, lambda v: world.cloud.calls["find"] >= 5 and v.tenant.observed.healthy is True)
            (instance,) = world.cloud.instances()
            world.cloud.lose(instance.id)
            owner.mailbox.mark_dirty(look=True)
            await world.until(tenant, lambda v: v.execution.run == 2 and v.tenant.status is Status.READY)
        assert await world.instances() == [(1, 2, "running")]

    async def test_what_was_stopped_is_started_again(self, world: World) -> None:
        tenant = await world.create(spec("1"))
        async with world.owner(tenant):
            await world.settled(tenant, Status.READY, 1)
            (instance,) = world.cloud.instances()
            await world.cloud.stop(instance.id)
            await world.until(tenant, lambda v: world.cloud.instances()[0].state == "running")
        assert await states(world, tenant.id) == ["succeeded"]

    async def test_an_unhealthy_tenant_that_is_not_to_be_healed_is_degraded_and_recovers(self, world: World) -> None:
        tenant = await world.create(spec("1", heal="none"))
        async with world.owner(tenant):
            await world.settled(tenant, Status.READY, 1)
            (instance,) = world.cloud.instances()
            world.cloud.alter(instance.id, health=["unhealthy"])
            await world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
            world.cloud.alter(instance.id, health=["healthy"])
            view = await world.until(tenant, lambda v: v.tenant.status is Status.READY)
            assert {c.type: c.status for c in view.tenant.conditions}[ConditionType.HEALTHY] == "true"
        trail = [e for e in await events.page(world.database, tenant_id=tenant.id, limit=50) if e.execution_id is None]
        assert [(e.status, e.trigger_source) for e in trail] == [("ready", "supervisor"), ("degraded", "supervisor")]
        assert await states(world, tenant.id) == ["succeeded"]

    async def test_the_heal_budget_is_five_in_ten_minutes(self, world: World) -> None:
        tenant = await world.create(spec("1", probe={"unhealthy_threshold": 1}))
        async with world.owner(tenant):
            for run in range(2, 7):
                await world.until(tenant, lambda v: v.tenant.status is Status.READY and v.execution.state.terminal)
                (instance,) = world.cloud.instances()
                world.cloud.lose(instance.id)
                await world.until(tenant, lambda v, run=run: v.execution.run == run)
            await world.settled(tenant, Status.READY, 1)
            (instance,) = world.cloud.instances()
            world.cloud.lose(instance.id)
            view = await world.until(tenant, lambda v: any(c.reason == Reason.HEAL_BUDGET for c in v.tenant.conditions))
            assert view.tenant.status is Status.DEGRADED
            assert view.execution.run == 6
