"""A cancelled call ends only when its thread has returned."""

import asyncio
import threading

import pytest

from providers.kit.threads import Threads


async def test_a_cancelled_call_outlives_its_cancellation_until_the_thread_is_done() -> None:
    threads = Threads("test", 1)
    begun, go, returned = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(10)
        returned.set()

    call = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    done, _ = await asyncio.wait([call], timeout=0.05)
    assert not done
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert returned.is_set()
    threads.close()


async def test_errors_and_answers_come_through() -> None:
    threads = Threads("test", 2)
    assert await threads.run(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "seven")
    threads.close()
