"""Priorities with ageing."""

import asyncio
from uuid import uuid4

from actors.supervisor.queue import Priority, WakeQueue
from controlplane.persistence.fleet import TenantKey


def tenant(name: str) -> TenantKey:
    return TenantKey(uuid4(), name)


async def drain(queue: WakeQueue) -> list[str]:
    return [(await queue.get()).name for _ in range(len(queue))]


async def test_client_work_goes_before_retries_drift_and_backlog() -> None:
    queue = WakeQueue()
    for priority in (Priority.BACKLOG, Priority.DRIFT, Priority.CLIENT, Priority.RETRY):
        queue.put(tenant(priority.name), priority, now=0)
    assert await drain(queue) == ["CLIENT", "RETRY", "DRIFT", "BACKLOG"]


async def test_what_has_waited_long_goes_before_what_came_just_now() -> None:
    queue = WakeQueue()
    queue.put(tenant("old backlog"), Priority.BACKLOG, now=0)
    queue.put(tenant("new client"), Priority.CLIENT, now=Priority.BACKLOG + 1)
    assert await drain(queue) == ["old backlog", "new client"]


async def test_a_tenant_waits_once_at_its_best_place() -> None:
    queue = WakeQueue()
    twice = tenant("twice")
    queue.put(twice, Priority.BACKLOG, now=0)
    queue.put(tenant("other"), Priority.DRIFT, now=0)
    queue.put(twice, Priority.CLIENT, now=0)
    queue.put(twice, Priority.BACKLOG, now=0)
    assert await drain(queue) == ["twice", "other"]


async def test_a_waiter_gets_what_comes() -> None:
    queue = WakeQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(tenant("late"), Priority.CLIENT, now=0)
    assert (await waiting).name == "late"
