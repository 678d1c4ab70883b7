"""A process that is stopped between its last write and its commit holds the lock that all take turns with."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events
from controlplane.persistence import transaction as unit_of_work
from tests.integration.api_replica import api_on, until
from tests.stopped_writer import STOPPED

OTHERS = 20


async def test_others_go_on_within_the_bound(database_url: str, database: AsyncEngine) -> None:
    async with api_on(database_url) as api:
        await api.create("warm")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STOPPED, database_url, stderr=asyncio.subprocess.PIPE
        )
        try:
            await until(_holds(database))
            began = time.monotonic()
            answers = await asyncio.gather(*(api.create(f"t-{number}") for number in range(OTHERS)))
            spent = time.monotonic() - began
            assert [answer.status_code for answer in answers] == [202] * OTHERS, answers[0].text
            assert spent < unit_of_work.STANDSTILL_MS / 1000 + 4, "the bound, and what twenty take on a busy machine"
        finally:
            os.kill(process.pid, signal.SIGCONT)
            _, said = await process.communicate()
        assert process.returncode != 0, "its commit failed"
        assert b"25P03" in said or b"08003" in said or b"57P" in said, said
        told = [event.message for event in await events.page(database, limit=100)]
        assert "never told" not in told


def _holds(database: AsyncEngine) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        async with database.connect() as connection:
            query = text(
                "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' "
                "AND datname = current_database() AND state = 'idle in transaction'"
            )
            return int((await connection.execute(query)).scalar_one()) > 0

    return holds
