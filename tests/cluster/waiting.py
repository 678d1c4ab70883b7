"""What a test of several machines waits for."""

import time
from collections.abc import Callable
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
