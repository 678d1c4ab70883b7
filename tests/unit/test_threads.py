"""A cancelled effect ends only when its thread has returned; a cancelled look at once. Neither keeps a process."""

import asyncio
import gc
import subprocess
import sys
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


async def test_looks_that_hang_are_counted_and_further_ones_fail_at_once() -> None:
    threads = Threads("test", 2, patience=0.1)
    go = threading.Event()
    waiting = [asyncio.create_task(threads.ask(go.wait, 30)) for _ in range(5)]
    for failed in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10):
        assert isinstance(failed, Unavailable)
    assert threads.abandoned == 2
    with pytest.raises(Unavailable, match="test-look does not answer: 2 calls hang"):
        await threads.ask(int, "7")
    assert await asyncio.wait_for(threads.run(int, "7"), 10) == 7, "an effect waits for no look"
    go.set()
    async with asyncio.timeout(10):
        while threads.abandoned:  # noqa: ASYNC110  # it is counted down in its thread
            await asyncio.sleep(0.01)
    assert await threads.ask(int, "8") == 8, "a thread that came back is used again"
    threads.close()


async def test_looks_do_not_wait_for_effects_that_hang() -> None:
    threads = Threads("test", 1)
    go = threading.Event()
    effect = asyncio.create_task(threads.run(go.wait, 30))
    assert await asyncio.wait_for(threads.ask(int, "7"), 10) == 7
    go.set()
    await effect
    threads.close()


async def test_what_an_abandoned_look_says_later_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    threads = Threads("test", 1, patience=0.05)
    go = threading.Event()

    def look() -> None:
        go.wait(30)
        raise OSError("late")

    with pytest.raises(Unavailable, match=r"test has not answered within 0\.05 s"):
        await threads.ask(look)
    go.set()
    async with asyncio.timeout(10):
        while threads.abandoned:  # noqa: ASYNC110  # it is counted down in its thread
            await asyncio.sleep(0.01)
    gc.collect()
    assert caplog.records == []
    threads.close()


async def test_a_time_out_of_the_call_itself_is_its_own() -> None:
    def late() -> None:
        raise TimeoutError("of the SDK")

    threads = Threads("test", 1)
    with pytest.raises(TimeoutError, match="of the SDK"):
        await threads.ask(late)
    threads.close()


async def test_closed_threads_take_no_calls() -> None:
    threads = Threads("test", 1)
    threads.close()
    for make in (threads.run, threads.ask):
        with pytest.raises(Unavailable, match="is closed"):
            await make(int, "7")


PROGRAM = """
import asyncio, threading
from providers.kit.threads import Threads

async def main():
    threads, begun = Threads("test", 1), threading.Semaphore(0)
    def hang():
        begun.release()
        threading.Event().wait(60)
    for make in (threads.run, threads.ask):
        asyncio.ensure_future(make(hang))
    await asyncio.sleep(0)
    begun.acquire()
    begun.acquire()
    print("both hang", flush=True)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


def test_a_process_ends_though_its_threads_hang() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "both hang\n", done.stderr
