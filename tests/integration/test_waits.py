"""Not there yet is waited for, on real rows under the real owner and the embedded engine: a platform that is away, a
secret, a quota. The clouds are fakes that lack something until the test brings it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import NotAvailableYet, WaitsFor
from controlplane.model import Condition, ConditionType, Event, ExecutionState, Status, Step, StepName, SubState
from controlplane.persistence import events, executions
from controlplane.persistence.tenants import TenantView
from providers.compute.fake import FakeCloud
from providers.kit.secrets import Secrets
from providers.workflow.embedded import CRASH_LOOP_ACTIVATIONS
from tests.integration.owner import World, spec

MOST = 2
"""Attempts that a step has."""


class Lacking(FakeCloud):
    """A cloud whose `create` raises as long as `lacks` does."""

    def __init__(self) -> None:
        super().__init__(identity="cloud")
        self.tries = 0
        self.lacks: Callable[[], object] = lambda: None

    async def create(self, name: str, labels: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
        self.tries += 1
        self.lacks()
        return await super().create(name, labels, config)


def refusing(waits_for: WaitsFor, text: str) -> Callable[[], object]:
    def refuse() -> None:
        raise NotAvailableYet(text, waits_for=waits_for)

    return refuse


@pytest.fixture
def cloud() -> Lacking:
    return Lacking()


@pytest_asyncio.fixture
async def world(database: AsyncEngine, database_url: str, tmp_path: Path, cloud: Lacking) -> AsyncIterator[World]:
    yield World(database, database_url, tmp_path, cloud)


def waiting(view: TenantView) -> Condition | None:
    return next((c for c in view.tenant.conditions if c.type == ConditionType.WAITING), None)


async def step_of(world: World, view: TenantView, name: StepName = StepName.APPLY_COMPUTE) -> Step:
    found = await executions.get(world.database, view.execution.id)
    assert found is not None
    return next(step for step in found[1] if step.name is name)


async def trail(world: World, view: TenantView, type: str) -> list[Event]:
    page = await events.page(world.database, tenant_id=view.tenant.id, limit=500)
    return [event for event in page if event.type == type]


async def test_a_platform_that_is_away_costs_the_time_for_which_it_is_away(world: World, cloud: Lacking) -> None:
    cloud.lacks = refusing(WaitsFor.PLATFORM_UNAVAILABLE, "the cloud does not answer")
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, max_attempts=MOST):
        view = await world.until(
            tenant,
            lambda v: (
                waiting(v) is not None
                and v.execution.next_attempt_at is not None
                and v.execution.sub_state is SubState.BACKING_OFF
                and cloud.tries > 3 * MOST
            ),
        )
        said = waiting(view)
        assert said is not None
        assert (said.status, said.reason, said.message) == ("true", "PlatformUnavailable", "the cloud does not answer")
        assert view.execution.error == "the cloud does not answer"
        assert view.execution.retry_count >= 3 * MOST - 1
        assert view.tenant.status is Status.PROVISIONING
        step = await step_of(world, view)
        assert (step.attempts, step.waits_for) == (1, "PlatformUnavailable")
        assert step.waits >= 3 * MOST - 1
        cloud.lacks = lambda: None
        view = await world.settled(tenant, Status.READY, 1)
    assert waiting(view) is None
    assert view.execution.run == 1
    step = await step_of(world, view)
    assert (step.attempts, step.waits_for, step.error) == (1, None, None)
    assert await world.instances() == [(1, 1, "running")]
    (told,) = await trail(world, view, "step.waiting")
    assert (told.message, told.data) == (
        "the cloud does not answer",
        {"step": "apply_compute", "reason": "PlatformUnavailable"},
    )
    assert len(await trail(world, view, "execution.progress")) < cloud.tries, "only news is told"


async def test_a_secret_that_is_written_later(world: World, cloud: Lacking, tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets").of("acme")
    cloud.lacks = lambda: secrets.value("file:later")
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, max_attempts=MOST):
        view = await world.until(tenant, lambda v: waiting(v) is not None and cloud.tries > MOST)
        said = waiting(view)
        assert said is not None
        assert (said.reason, "file:later" in said.message) == ("SecretMissing", True)
        (tmp_path / "secrets" / "acme").mkdir(parents=True)
        (tmp_path / "secrets" / "acme" / "later").write_text("hunter2\n")
        view = await world.settled(tenant, Status.READY, 1)
    assert waiting(view) is None
    assert "hunter2" not in str(view)


async def test_a_quota_that_is_freed_later_after_another_thing_was_missing(world: World, cloud: Lacking) -> None:
    cloud.lacks = refusing(WaitsFor.QUOTA_EXCEEDED, "a quota of the account is used up")
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, max_attempts=MOST):
        await world.until(tenant, lambda v: (said := waiting(v)) is not None and said.reason == "QuotaExceeded")
        cloud.lacks = refusing(WaitsFor.NETWORK_POOL_EXHAUSTED, "no network is free")
        await world.until(tenant, lambda v: (said := waiting(v)) is not None and said.reason == "NetworkPoolExhausted")
        cloud.lacks = lambda: None
        view = await world.settled(tenant, Status.READY, 1)
    reasons = [event.data["reason"] for event in await trail(world, view, "step.waiting")]
    assert sorted(reasons) == ["NetworkPoolExhausted", "QuotaExceeded"]


async def test_at_its_deadline_it_fails_with_what_it_waited_for(world: World, cloud: Lacking) -> None:
    cloud.lacks = refusing(WaitsFor.IMAGE_NOT_FOUND, "there is no image web:1")
    tenant = await world.create(spec("1", probe={"deadline_seconds": 3}))
    async with world.owner(tenant, max_attempts=MOST):
        view = await world.settled(tenant, Status.FAILED)
    assert view.tenant.status_message == "not there after 3 s: there is no image web:1"
    assert waiting(view) is None
    assert view.execution.state is ExecutionState.FAILED
    assert cloud.tries > MOST
    assert await world.instances() == []


async def test_a_verdict_on_the_spec_ends_it_as_ever_and_the_wait_is_over(world: World, cloud: Lacking) -> None:
    cloud.lacks = refusing(WaitsFor.PORT_TAKEN, "port 80 is taken")
    tenant = await world.create(spec("1", refuses="this command cannot run"))
    async with world.owner(tenant, max_attempts=MOST):
        await world.until(tenant, lambda v: waiting(v) is not None)
        cloud.lacks = lambda: None
        view = await world.settled(tenant, Status.FAILED)
    assert "this command cannot run" in view.tenant.status_message
    assert waiting(view) is None


@pytest.mark.parametrize("what", ["patch", "delete", "cancel"])
async def test_a_client_gets_in_while_it_waits(world: World, cloud: Lacking, what: str) -> None:
    cloud.lacks = refusing(WaitsFor.IMAGE_NOT_FOUND, "there is no image web:1")
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, max_attempts=MOST) as owner:
        view = await world.until(tenant, lambda v: waiting(v) is not None and cloud.tries > MOST)
        match what:
            case "patch":
                newer = await world.patch(spec("2"))
                owner.mailbox.mark_dirty()
                begun = (ExecutionState.STARTING, ExecutionState.RUNNING)
                await world.until(tenant, lambda v: v.execution.id == newer.id and v.execution.state in begun)
                cloud.lacks = lambda: None
            case "delete":
                await world.delete()
            case _:
                await world.cancel(view.execution)
        owner.mailbox.mark_dirty()
        after = {"patch": Status.READY, "delete": Status.DELETED, "cancel": Status.FAILED}[what]
        ended = await world.settled(tenant, after)
        if what == "patch":
            ended = await world.settled(tenant, after, 2)
    assert waiting(ended) is None
    first = await executions.get(world.database, view.execution.id)
    assert first is not None
    assert first[0].state is (ExecutionState.CANCELLED if what == "cancel" else ExecutionState.SUPERSEDED)


async def test_its_owner_may_leave_as_often_as_it_takes(world: World, cloud: Lacking) -> None:
    """Owners that come and go while it waits are no crash loop, also if they die; and the wait is one attempt still."""
    cloud.lacks = refusing(WaitsFor.PLATFORM_UNAVAILABLE, "the cloud does not answer")
    tenant = await world.create(spec("1"))
    recorded = 0
    for _ in range(CRASH_LOOP_ACTIVATIONS + 2):
        async with world.owner(tenant, max_attempts=MOST) as owner:
            view = await world.until(tenant, lambda v: waiting(v) is not None)
            async with asyncio.timeout(60):
                while (step := await step_of(world, view)).waits == recorded:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await owner.die()
        recorded = step.waits
    cloud.lacks = lambda: None
    async with world.owner(tenant, max_attempts=MOST):
        view = await world.settled(tenant, Status.READY, 1)
    assert (await step_of(world, view)).attempts == 1


async def test_a_delete_says_what_it_waits_for(world: World, cloud: Lacking) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, max_attempts=1) as owner:
        await world.settled(tenant, Status.READY, 1)
        cloud.script("destroy", *["fails"] * 1000)
        await world.delete()
        owner.mailbox.mark_dirty()
        view = await world.until(tenant, lambda v: waiting(v) is not None and cloud.calls.get("destroy", 0) > 3)
        assert view.tenant.status is Status.DELETING
        cloud._scripts.clear()
        view = await world.settled(tenant, Status.DELETED)
    assert waiting(view) is None
    assert view.execution.run == 1
