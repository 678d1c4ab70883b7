"""The tenant's actor, without Ray: words that come before its runner is there."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from actors.tenant import actor
from actors.tenant.actor import TenantOwner


class Runner:
    """In place of the real one: it runs until it is hurried."""

    def __init__(self, *_: object) -> None:
        self.hurried = asyncio.Event()

    def hurry(self) -> None:
        self.hurried.set()

    async def give_back(self, _: str) -> None:
        return None

    async def run(self) -> str:
        await self.hurried.wait()
        return "passivated"


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the actor ends its process. Its database is none."""

    async def acquire(*_: object, **__: object) -> int:
        return 1

    async def release(*_: object) -> None:
        return None

    async def close() -> None:
        return None

    gone = asyncio.Event()
    runtime = SimpleNamespace(database=None, identity=SimpleNamespace(cluster_id="here"), close=close)
    monkeypatch.setattr(actor, "build_runtime", lambda **_: runtime)
    monkeypatch.setattr(actor, "Runner", Runner)
    monkeypatch.setattr(actor.leases, "acquire", acquire)
    monkeypatch.setattr(actor.leases, "release", release)
    monkeypatch.setattr(actor.ray, "get_runtime_context", lambda: SimpleNamespace(get_actor_id=lambda: "a"))
    monkeypatch.setattr(TenantOwner, "_exit", staticmethod(gone.set))
    return gone


async def test_a_word_to_make_room_that_comes_before_the_runner_is_kept(gone: asyncio.Event) -> None:
    owner: Any = TenantOwner("acme")
    await owner.make_room()
    assert (await owner.wake(str(uuid4())))["outcome"] == "started"
    async with asyncio.timeout(5):
        await gone.wait()


async def test_one_that_nobody_wakes_wakes_itself(gone: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start took longer than the patience of whoever asked for it."""
    monkeypatch.setattr(actor, "LONELY_SECONDS", 0.01)
    owner: Any = TenantOwner("acme", None, str(uuid4()))
    await owner.make_room()
    async with asyncio.timeout(5):
        assert (await owner.until_leaving())["reason"] == "passivated"
        await gone.wait()


async def test_one_that_nobody_wakes_and_no_tenant_wants_leaves(
    gone: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "LONELY_SECONDS", 0.01)
    owner: Any = TenantOwner("acme")
    async with asyncio.timeout(5):
        assert (await owner.until_leaving())["reason"] == "lonely"
        await gone.wait()
