"""Faults of what the installation stands on, beside those of its processes: a platform that hangs with many tenants
behind it, a database that is read-only, a writer that stands still, a tenant's poisonous output, a clock that steps, an
upgrade in the middle.

Some bring tenants of their own and check these themselves; what they assert fails the run.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import httpx
import psutil

from controlplane.local.paths import Home
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.persistence.transaction import STANDSTILL_MS
from tests.chaos.faults import Fault
from tests.chaos.load import spec_of
from tests.e2e.installation import Installation
from tests.engines import WEB_IMAGE, signal_docker
from tests.stopped_writer import STOPPED

BURST = 10
"""Tenants that wait for the platform that hangs."""
MEANWHILE_SECONDS = 90.0
"""A tenant of another platform is ready within this, and gone within it, on a busy machine."""
RECOVERY_SECONDS = 180.0
POISON = (
    "import sys, time; "
    "sys.stdout.buffer.write(b'fatal\\x00error \\x1b[31m\\xff\\xfe \\xed\\xa0\\x80 ' + b'x' * 100000 + b'\\n'); "
    "sys.stdout.flush(); sys.exit(3)"
)
HOUR = 3600


async def platform_hangs(installation: Installation, rng: random.Random, burst: int = BURST) -> str:
    """dockerd stands still. Tenants on Docker wait for it; one on another platform is made and deleted meanwhile."""
    if not signal_docker(signal.SIGSTOP):
        return "this Docker Engine is not ours to stop"
    ours = f"hang-{token_hex(3)}"
    waiting = [f"{ours}-{number}" for number in range(burst)]
    began = time.monotonic()
    try:
        async with installation.http() as http:
            for name in waiting:
                await _until_taken(http, "POST", "/tenants", {"name": name, "spec": _slow_to_give_up()})
            await asyncio.sleep(rng.uniform(1, 3))
            for name in waiting[: burst // 4]:
                await _until_taken(http, "DELETE", f"/tenants/{name}")
            spent = [await _made_and_deleted(http, f"{ours}-other-{number}") for number in range(2)]
    finally:
        signal_docker(signal.SIGCONT)
    stood = time.monotonic() - began
    async with installation.http() as http:
        for name in waiting:
            await _until_taken(http, "DELETE", f"/tenants/{name}", also=(404, 410))
        for name in waiting:
            await _gone(http, name, RECOVERY_SECONDS)
    slowest = max(spent)
    return f"Docker stood still for {stood:.0f} s before {burst} tenants; another platform's took {slowest:.1f} s"


def _slow_to_give_up() -> dict[str, Any]:
    spec = spec_of("docker", "waits", WEB_IMAGE)
    return {**spec, "health": {**spec["health"], "deadline_seconds": 600}}


async def _made_and_deleted(http: httpx.AsyncClient, name: str) -> float:
    """Seconds until it was ready."""
    began = time.monotonic()
    await _until_taken(http, "POST", "/tenants", {"name": name, "spec": spec_of("process", f"{name}-1", "")})
    await _until(http, name, lambda t: t.get("status") == "ready", MEANWHILE_SECONDS)
    spent = time.monotonic() - began
    await _until_taken(http, "DELETE", f"/tenants/{name}")
    await _gone(http, name, MEANWHILE_SECONDS)
    return spent


async def postgres_read_only(installation: Installation, rng: random.Random) -> str:
    """As after a failover: it answers, and takes no write. Reads go on meanwhile; then it is itself again."""
    postgres, seconds = _postgres(installation), rng.uniform(3, 8)
    spec = spec_of("process", "read-only", "")
    await _set(postgres, "ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        async with installation.http() as http:
            end = time.monotonic() + seconds
            refused = 0
            while time.monotonic() < end:
                answer = await _asked(http, "POST", "/tenants?dry_run=true", {"name": "read-only", "spec": spec})
                # The first one may come before the servers of all connections have heard of it.
                assert answer is None or answer.status_code in (200, 503), f"read-only, and {answer.text}"
                refused += answer is not None and answer.status_code == 503
                read = await _asked(http, "GET", "/tenants?limit=1")
                assert read is None or read.status_code == 200, f"reads go on, and {read.text}"
                await asyncio.sleep(0.3)
            assert refused > 0, "it took every change"
    finally:
        await _set(postgres, "ALTER SYSTEM RESET default_transaction_read_only")
    return f"Postgres was read-only for {seconds:.0f} s"


async def writer_stands_still(installation: Installation, rng: random.Random) -> str:
    """Between its last write and its commit, with the lock that all writers take turns with."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPPED, _postgres(installation).url, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(MEANWHILE_SECONDS):
            while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110, it stops itself
                await asyncio.sleep(0.05)
        await asyncio.sleep(STANDSTILL_MS / 1000 + rng.uniform(1, 3))
    finally:
        process.send_signal(signal.SIGCONT)
        await process.wait()
    assert process.returncode != 0, "its commit came through, long after the bound"
    return "a writer stood still before its commit"


async def poisonous_output(installation: Installation, rng: random.Random) -> str:
    """A tenant writes a NUL, an escape sequence, half a surrogate and a very long line, and dies. Its tenant says so,
    and goes."""
    name = f"poison-{token_hex(3)}"
    spec = {
        "compute": {"provider": "process", "config": {"command": ["python3", "-S", "-c", POISON, "{port}"]}},
        "health": {"tcp": {}, "interval_seconds": 1, "deadline_seconds": 3},
    }
    async with installation.http() as http:
        await _until_taken(http, "POST", "/tenants", {"name": name, "spec": spec})
        told = await _until(http, name, lambda t: t.get("status") == "failed", RECOVERY_SECONDS)
        assert "\0" not in told["status_message"], told["status_message"]
        await _until_taken(http, "DELETE", f"/tenants/{name}")
        await _gone(http, name, RECOVERY_SECONDS)
    return "a tenant that writes poison failed, and went"


async def clock_steps(installation: Installation, rng: random.Random) -> str:
    """The clocks of our processes are an hour ahead or behind for some seconds. The database's is not."""
    step = rng.choice((-HOUR, HOUR))
    stepped = installation.failpoints / "clock"
    stepped.write_text(str(step))
    try:
        await asyncio.sleep(rng.uniform(4, 8))
    finally:
        stepped.unlink(missing_ok=True)
    return f"the clocks of our processes went {step:+d} s and back"


async def upgrade_and_back(installation: Installation, rng: random.Random) -> str:
    """`up` of another build in the middle, and `up` of this one again, in the place where the code is installed."""
    if installation.checkout is None:
        return "this code is not ours to change"
    ours = installation.build
    installation.checkout.change()
    try:
        there = await _up(installation)
        assert installation.build != ours, f"{ours} is still there"
        await asyncio.sleep(rng.uniform(0, 3))
    finally:
        installation.checkout.put_back()
        back = await _up(installation)
    assert installation.build == ours, f"{installation.build} is still there"
    return f"another build came up in {there:.0f} s, and this one again in {back:.0f} s"


async def _up(installation: Installation) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    await asyncio.to_thread(installation.up)
    return time.monotonic() - began


async def _asked(http: httpx.AsyncClient, method: str, path: str, body: Any = None) -> httpx.Response | None:
    """The API's own answer. None: whoever was asked was killed meanwhile, or the proxy found nobody."""
    try:
        answer = await http.request(method, path, json=body)
    except httpx.TransportError:
        return None
    return answer if "json" in answer.headers.get("content-type", "") else None


async def _until(
    http: httpx.AsyncClient, name: str, condition: Callable[[dict[str, Any]], bool], seconds: float
) -> dict[str, Any]:
    """Polls GET until `condition` holds; what was seen last is in the failure."""
    give_up = time.monotonic() + seconds
    while True:
        answer = await _asked(http, "GET", f"/tenants/{name}")
        body: dict[str, Any] = {} if answer is None else answer.json()
        if condition(body):
            return body
        assert time.monotonic() < give_up, f"{name}, for {seconds:g} s: {body}"
        await asyncio.sleep(0.2)


async def _gone(http: httpx.AsyncClient, name: str, seconds: float) -> None:
    await _until(http, name, lambda t: t.get("code") in ("tenant_not_found", "tenant_deleted"), seconds)


async def _until_taken(
    http: httpx.AsyncClient, method: str, path: str, body: Any = None, *, also: tuple[int, ...] = ()
) -> None:
    """Until it is acknowledged. What passes is asked again, with the same key."""
    headers = {"Idempotency-Key": token_hex(8)}
    give_up = time.monotonic() + RECOVERY_SECONDS
    while True:
        seen: object
        try:
            answer = await http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            seen = repr(error)
        else:
            if answer.is_success or answer.status_code in also:
                return
            seen = f"{answer.status_code} {answer.text[:300]}"
        assert time.monotonic() < give_up, f"{method} {path} was never taken: {seen}"
        await asyncio.sleep(0.2)


def _postgres(installation: Installation) -> EmbeddedPostgres:
    home = Home(installation.home)
    return EmbeddedPostgres(home.postgres, home.sockets, home.logs / "postgres.log")


async def _set(postgres: EmbeddedPostgres, statement: str) -> None:
    for one in (statement, "SELECT pg_reload_conf()"):
        answer = await asyncio.to_thread(postgres._query, "postgres", one)
        assert answer is not None, f"Postgres refused: {one}"


OUTAGES: tuple[Fault, ...] = (
    platform_hangs,
    postgres_read_only,
    writer_stands_still,
    poisonous_output,
    clock_steps,
    upgrade_and_back,
)
