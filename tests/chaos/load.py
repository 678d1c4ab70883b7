"""Clients under faults: each drives one tenant, retries what was not acknowledged with the same Idempotency-Key, and
remembers what was. So the expected end is known: the last acknowledged request.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

SERVER = (
    "import http.server, os, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(os.environ['COLOR'].encode())\n"
    "    def log_message(self, *a): pass\n"
    "http.server.HTTPServer((sys.argv[2], int(sys.argv[1])), H).serve_forever()"
)
PAUSE_SECONDS = 0.2
GIVE_UP_SECONDS = 150.0
"""One request must be acknowledged within this, faults and restarts included."""


def spec_of(provider: str, color: str, image: str) -> dict[str, Any]:
    if provider == "docker":
        config: dict[str, Any] = {"image": image, "env": {"COLOR": color}, "ports": [{"container_port": 8080}]}
    else:
        config = {"command": ["python3", "-S", "-c", SERVER, "{port}", "{address}"], "env": {"COLOR": color}}
    return {
        "compute": {"provider": provider, "config": config},
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


@dataclass
class Client:
    """One tenant's client. `color` None: what was acknowledged last is its deletion, or it was never created."""

    name: str
    provider: str
    image: str
    rng: random.Random
    http: httpx.AsyncClient
    without_key: bool = True
    """It also repeats a change without its key. Where the network keeps a request and delivers it long after its client
    gave it up, that may be a second change."""
    color: str | None = None
    changes: int = 0
    """Accepted changes of spec since the tenant's creation, the creation included."""
    tenant_id: str | None = None
    ids: list[str] = field(default_factory=list)
    """Every tenant id that ever bore the name."""
    acknowledged: int = 0
    executions: list[str] = field(default_factory=list)

    async def act(self) -> None:
        """One random request, until it is acknowledged."""
        if self.color is None:
            await self._create()
        elif self.rng.random() < 0.2:
            await self.delete()
        else:
            await self._patch()

    async def drop_mid_flight(self) -> None:
        """A client that goes away in the middle of its request, and asks again."""
        color = self._next_color()
        key = f"{self.name}-{color}"
        sent = asyncio.create_task(self._send_patch(color, key) if self.color else self._send_create(color, key))
        await asyncio.sleep(self.rng.uniform(0, 0.05))
        sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
        await (self._patch(color) if self.color else self._create(color))

    async def _create(self, color: str | None = None) -> None:
        color = color or self._next_color()
        answer = await self._until_acknowledged(lambda: self._send_create(color, f"{self.name}-{color}"), busy=409)
        body = answer.json()
        self.tenant_id, self.changes, self.color = body["id"], 1, color
        self.ids.append(body["id"])
        self.executions.append(body["workflow_execution_id"])

    async def _patch(self, color: str | None = None) -> None:
        color = color or self._next_color()
        answer = await self._until_acknowledged(lambda: self._send_patch(color, f"{self.name}-{color}"))
        self.changes, self.color = self.changes + 1, color
        self.executions.append(answer.json()["workflow_execution_id"])
        if self.rng.random() < 0.3:  # a duplicate with its key, and one without: neither is a second change
            again = await self._until_acknowledged(lambda: self._send_patch(color, f"{self.name}-{color}"))
            assert again.json()["workflow_execution_id"] == answer.json()["workflow_execution_id"]
            if self.without_key:
                same = await self._until_acknowledged(lambda: self._send_patch(color, None))
                assert same.json()["generation"] == answer.json()["generation"]

    async def delete(self) -> None:
        key = f"{self.name}-delete-{self.tenant_id}"
        await self._until_acknowledged(
            lambda: self.http.delete(f"/tenants/{self.name}", headers={"Idempotency-Key": key})
        )
        self.color = None

    async def _until_acknowledged(self, send: Any, busy: int | None = None) -> httpx.Response:
        """Sends until it is 200 or 202. A `busy` status means: not yet, ask again (the name is being deleted)."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + GIVE_UP_SECONDS
        while True:
            seen: object
            try:
                answer: httpx.Response = await send()
            except httpx.TransportError as error:
                seen = repr(error)
            else:
                if answer.status_code in (200, 202):
                    self.acknowledged += 1
                    return answer
                seen = f"{answer.status_code} {answer.text[:300]}"
                # Plain text is the proxy's: no replica is up (README.md, Limits).
                from_proxy = "json" not in answer.headers.get("content-type", "")
                passing = from_proxy or answer.status_code >= 500 or answer.status_code in (busy, 429)
                in_progress = answer.status_code == 409 and "idempotency_in_progress" in answer.text
                assert passing or in_progress, f"{self.name}: refused for good: {seen}"
            assert loop.time() < give_up, f"{self.name}: never acknowledged: {seen}"
            await asyncio.sleep(PAUSE_SECONDS)

    def _send_create(self, color: str, key: str) -> Any:
        body = {"name": self.name, "spec": spec_of(self.provider, color, self.image)}
        return self.http.post("/tenants", json=body, headers={"Idempotency-Key": key})

    def _send_patch(self, color: str, key: str | None) -> Any:
        body = {"spec": {"compute": {"config": {"env": {"COLOR": color}}}}}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.patch(f"/tenants/{self.name}", json=body, headers=headers)

    def _next_color(self) -> str:
        return f"{self.name}-{self.rng.getrandbits(32):08x}"


@asynccontextmanager
async def load_on(clients: Sequence[Client], seconds: float = 0.0) -> AsyncIterator[None]:
    """All of them ask within the block, and for so many seconds at least. After it all that they asked is
    acknowledged."""
    loop = asyncio.get_running_loop()
    end, over = loop.time() + seconds, asyncio.Event()
    loads = [
        asyncio.create_task(_drive(client, lambda: loop.time() < end or not over.is_set()), name=client.name)
        for client in clients
    ]
    try:
        yield
        over.set()
        await asyncio.gather(*loads)
    finally:
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)


async def _drive(client: Client, goes_on: Callable[[], bool]) -> None:
    while goes_on():
        await (client.drop_mid_flight() if client.rng.random() < 0.15 else client.act())
        await asyncio.sleep(client.rng.uniform(0, 1.0))


async def delete_all(clients: Sequence[Client]) -> None:
    """After any prefix of requests and faults a DELETE ends `deleted`."""
    await asyncio.gather(*(client.delete() for client in clients if client.color is not None))


def acknowledged(clients: Sequence[Client]) -> int:
    return sum(client.acknowledged for client in clients)
