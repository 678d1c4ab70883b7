"""What the tests of Restate share: our endpoint, which can go away, its provider, and what the server's tables say."""

import asyncio
import socket
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import httpx
import restate
import uvicorn
from restate.server_types import RestateAppT

from controlplane.clock import SystemClock
from providers.workflow.restate.provider import RestateWorkflow
from tests.restate import RestateServer

TWICE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=10), max_attempts=2, on_max_attempts="pause"
)


class Endpoint:
    """Our endpoint on a port of its own; it can go away and come back there."""

    def __init__(self, app: RestateAppT) -> None:
        self.app = app
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        config = uvicorn.Config(self.app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        # Only the main program may take signals.
        self._server.capture_signals = nullcontext  # type: ignore[method-assign]
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def stop(self) -> None:
        assert self._server is not None
        assert self._serving is not None
        assert self._listener is not None
        self._server.should_exit = True
        await self._serving
        self._listener.close()


def restate_at(server: RestateServer, endpoint: Endpoint) -> RestateWorkflow:
    return RestateWorkflow(server.ingress, server.admin, endpoint.url, SystemClock())


async def count_invocations(server: RestateServer, execution_id: str) -> int:
    return len(await query(server, f"SELECT id FROM sys_invocation WHERE target_service_key = '{execution_id}'"))


async def query(server: RestateServer, sql: str) -> list[dict[str, Any]]:
    """The test's own eyes."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{server.admin}/query", json={"query": sql}, headers={"Accept": "application/json"})
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows
