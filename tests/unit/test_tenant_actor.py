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


async def test_a_word_to_make_room_that_comes_before_the_runner_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
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
    owner: Any = TenantOwner("acme")
    await owner.make_room()
    assert (await owner.wake(str(uuid4())))["outcome"] == "started"
    async with asyncio.timeout(5):
        await gone.wait()
