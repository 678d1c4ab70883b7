"""LISTEN on its own connection, which is never pooled and reconnects by itself.

A notification is a hint: listeners read the rows when they (re)connect, and a sweep or a slow poll is the guarantee.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


async def listen(
    database: AsyncEngine, channel: str, heard: Callable[[str], None], connected: Callable[[], None]
) -> None:
    """Listen until cancelled. Calls `heard(payload)` for each notification, and `connected()` after each (re)connect.
    Notifications sent before a connect are lost, so read the rows in `connected()`. `channel` is a constant of ours,
    never user text."""
    while True:
        try:
            async with database.connect() as connection:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection
                lost = asyncio.Event()
                driver.add_termination_listener(partial(_set, lost))
                await driver.add_listener(channel, lambda *args: heard(args[3]))
                connected()
                await lost.wait()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.warning("listening on %s failed (%s); trying again", channel, type(error).__name__)
        await asyncio.sleep(RECONNECT_SECONDS)


def _set(event: asyncio.Event, connection: Any) -> None:
    event.set()
