"""What a test of several machines waits for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

SECONDS = 120.0


def until(look: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """The first of its answers that is true. Raises AssertionError with `what` after that time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def nodes(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """By name, as the API lists them."""
    return {node["name"]: node for node in client.get("/nodes").json()["items"]}


async def until_it_fits(look: Callable[[], Awaitable[Any]], fits: Callable[[Any], bool], seconds: float) -> Any:
    """The first answer that fits. Raises AssertionError with the last one after that time."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    found: Any = None
    while True:
        try:
            found = await look()
        except httpx.TransportError as error:  # the machine that was asked is silent, and the next one is asked
            found = repr(error)
        else:
            if fits(found):
                return found
        assert loop.time() < give_up, found
        await asyncio.sleep(0.5)
