"""The clockwork of sweeps: a stage that cannot be stopped stops no other, and no sweep."""

import asyncio
from collections import Counter

import pytest

from actors.supervisor import clockwork
from actors.supervisor.clockwork import HANGS, Clockwork


async def test_a_stage_that_heeds_no_cancellation_is_left_and_begun_no_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clockwork, "STAGE_SECONDS", 0.05)
    begun, go = Counter[str](), asyncio.Event()

    async def deaf() -> int:
        begun["deaf"] += 1
        waiting = asyncio.ensure_future(go.wait())
        while not waiting.done():
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                continue
        return 1

    async def other() -> int:
        begun["other"] += 1
        return 7

    works = Clockwork(0.01)
    loop = asyncio.create_task(works.loop({"deaf": deaf, "other": other}))
    async with asyncio.timeout(20):
        while begun["other"] < 3:  # noqa: ASYNC110  # three sweeps
            await asyncio.sleep(0.01)
    assert begun["deaf"] == 1
    assert works.report["deaf"]["error"] == HANGS
    assert works.report["other"] == {"error": None, "count": 7, "seconds": works.report["other"]["seconds"]}
    go.set()
    async with asyncio.timeout(20):
        while begun["deaf"] < 2:  # noqa: ASYNC110  # it has returned, so it is begun again
            await asyncio.sleep(0.01)
    loop.cancel()


async def test_a_stage_may_be_run_beside_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the search for due tenants is when there is room."""
    go = asyncio.Event()

    async def due() -> int:
        await go.wait()
        return 1

    works = Clockwork(60)
    both = [asyncio.create_task(works.run("due", due)) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*both)
    assert works.report["due"]["error"] is None
