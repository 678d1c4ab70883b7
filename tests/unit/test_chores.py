"""An owner's chores: what people see of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from actors.tenant.chores import Chores
from actors.tenant.mailbox import Mailbox


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
