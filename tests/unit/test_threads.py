"""A cancelled effect ends only when its thread has returned; a cancelled question at once."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controlplane.errors import Unavailable
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


async def test_a_cancelled_question_does_not_wait_for_its_thread() -> None:
    threads = Threads("test", 1)
    begun, go = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        go.wait(10)

    call = asyncio.create_task(threads.ask(look))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 5)
    go.set()
    threads.close()


async def test_errors_are_translated_in_the_thread() -> None:
    @contextmanager
    def disk() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the disk: {error}") from None

    def write() -> None:
        raise OSError("full")

    threads = Threads("test", 1, translate=disk)
    for make in (threads.run, threads.ask):
        with pytest.raises(Unavailable, match="the disk: full"):
            await make(write)
    threads.close()
