"""An owner's chores: what people see of them, and how a look goes on while all is well."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from actors.tenant import chores as module
from actors.tenant.chores import Chores
from actors.tenant.mailbox import Mailbox
from controlplane.model import HealthSpec, Observed, Status
from controlplane.ports import ProbeResult
from tests.unit.builders import SPEC, execution
from tests.unit.test_observer import THERE


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


async def test_a_chore_that_takes_long_says_since_when_it_is_at_work() -> None:
    clock = Clock()
    runtime: Any = SimpleNamespace(clock=clock, upkeep=None, prober=None)
    owned: Any = SimpleNamespace(tenant_id="acme")
    mailbox = Mailbox()
    chores = Chores(owned, runtime, mailbox, lambda **_: None)
    answered = asyncio.Event()

    async def clean() -> None:
        await answered.wait()

    await chores.begin("clean", clean())
    assert chores.doing == ["clean"]
    clock.at += timedelta(seconds=20)
    await chores.begin("look", clean())
    assert chores.doing == ["clean since 2026-01-01T12:00:00Z", "look"]
    answered.set()
    async with asyncio.timeout(20):
        while chores.doing:  # noqa: ASYNC110  # its own end is what is asked for
            await asyncio.sleep(0)
    assert [kind for kind, _ in chores.ended] == ["clean", "look"]


class Serving:
    """A tenant that is looked at: its rows, its platform and its owner's state."""

    def __init__(self, status: Status = Status.READY, idle: float | None = None) -> None:
        self.looks = self.written = 0
        self.healthy = True
        self.state: dict[str, Any] = {}
        self.mailbox = Mailbox()
        self.execution = execution(
            spec=SPEC.model_copy(update={"health": HealthSpec(interval_seconds=0.5, min_healthy_seconds=0)})
        )
        tenant = SimpleNamespace(epoch=1, status=status, observed=Observed())
        self.rows: Any = SimpleNamespace(tenant=tenant, now=Clock().at)
        policy = SimpleNamespace(idle=idle, heal_window=600.0)
        runtime: Any = SimpleNamespace(
            clock=Clock(), upkeep=self, prober=None, policy=policy, node_of=lambda _, before: before
        )
        self.chores = Chores(self, runtime, self.mailbox, self._note)  # type: ignore[arg-type]
        self.tenant_id = "acme"

    def _note(self, **changes: Any) -> None:
        self.state |= changes

    async def context(self, _: Any) -> None: ...

    async def observe(self, *_: Any) -> Any:
        self.looks += 1
        return THERE, ProbeResult(self.healthy)

    async def observed(self, *_: Any) -> None:
        self.written += 1

    async def degradations_since(self, _: float) -> int:
        return 1

    async def begin(self) -> None:
        self.mailbox.clear()
        await self.chores.begin("look", self.chores.look(self.execution, self.rows))

    async def has_looked(self, number: int) -> None:
        async with asyncio.timeout(20):
            while self.looks < number or self.state.get("finding") is None:  # noqa: ASYNC110, it looks by itself
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 30.0)


async def test_while_all_is_well_a_look_goes_on_without_the_runner() -> None:
    serving = Serving()
    await serving.begin()
    await serving.has_looked(3)
    assert not serving.mailbox.dirty
    assert serving.chores.doing == []
    assert serving.written == 1
    assert serving.state["finding"].good >= 2
    serving.healthy = False
    async with asyncio.timeout(20):
        await serving.mailbox.wait(None)
    assert serving.state["finding"].bad == 1
    assert serving.state["looking"] is False
    assert serving.chores.ended == [("look", None)]


async def test_a_mark_ends_a_look_that_goes_on() -> None:
    serving = Serving()
    await serving.begin()
    await serving.has_looked(1)
    serving.mailbox.mark_dirty()
    async with asyncio.timeout(20):
        while not serving.chores.ended:  # noqa: ASYNC110, its own end is what is asked for
            await asyncio.sleep(0)
    assert serving.looks == 1


@pytest.mark.parametrize("serving", [Serving(Status.DEGRADED), Serving(idle=0.1)])
async def test_a_look_ends_at_once_if_the_runner_may_have_to_decide(serving: Serving) -> None:
    await serving.begin()
    async with asyncio.timeout(20):
        await serving.mailbox.wait(None)
    assert (serving.looks, serving.state["finding"].good) == (1, 1)


async def test_the_look_of_one_that_is_to_leave_does_not_go_on() -> None:
    """It was told so while it was at work. Others waited ten seconds for its place."""
    serving = Serving()
    serving.chores.hurry()
    await serving.begin()
    async with asyncio.timeout(20):
        await serving.mailbox.wait(None)
    assert (serving.looks, serving.state["looking"]) == (1, False)
