"""The front door of a running installation: half-sent requests, its logs, TLS, and another admin token.

The tests of this module share one installation and run in the order in which they stand.
"""

import asyncio
import json
import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.local import front
from tests.e2e.installation import Installation, free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HALF_OPEN = 5000
GONE_SECONDS = 15
"""By HAProxy's own clock: from the moment it has a connection until it closes it."""
PATIENCE_SECONDS = 90
"""For a machine on which HAProxy itself waits for its turn."""
BEGUN = (
    b"GET /v1/tenants HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    b"POST /v1/tenants HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{",
    b"",
)


@pytest.fixture(scope="module")
def there() -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="ll-front-"))
    made = Installation(home, free_port(), LANDLORD_COMPUTE_PROVIDERS="fake")
    made.up()
    yield made
    made.down()
    shutil.rmtree(home, ignore_errors=True)


def url(there: Installation) -> str:
    return f"{'https' if 'LANDLORD_TLS_CERT' in there.environ else 'http'}://127.0.0.1:{there.port}"


def pids(there: Installation, *names: str) -> set[int]:
    return {process.pid for process in there.processes() if process.name().startswith(names)}


def lines(there: Installation, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (there.home / "logs" / name).read_text().splitlines()]


def line_of(there: Installation, name: str, request_id: str) -> dict[str, Any]:
    """It is written when the answer has gone."""
    give_up = time.monotonic() + 30
    while True:
        written = lines(there, name)
        for line in written:
            if line.get("request_id") == request_id:
                return line
        assert time.monotonic() < give_up, written[-5:]


async def test_five_thousand_half_open_requests_keep_nobody_out_and_are_gone_soon(there: Installation) -> None:
    loop = asyncio.get_running_loop()
    closed: list[float] = []

    class Half(asyncio.Protocol):
        def __init__(self, sent: bytes) -> None:
            self._sent = sent

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(self._sent)
            self._began = time.monotonic()

        def connection_lost(self, _: Exception | None) -> None:
            closed.append(time.monotonic() - self._began)

    async def open_some(count: int) -> None:
        for number in range(count):
            await loop.create_connection(partial(Half, BEGUN[number % 3]), "127.0.0.1", there.port)

    async with there.http() as http:
        await http.get("/tenants")
        began = time.monotonic()
        await asyncio.gather(*(open_some(HALF_OPEN // 20) for _ in range(20)))
        opened = time.monotonic()
        taken: list[float] = []
        while len(closed) < HALF_OPEN and time.monotonic() < opened + PATIENCE_SECONDS:
            asked = time.monotonic()
            assert (await http.get("/tenants")).status_code == 200
            taken.append(time.monotonic() - asked)
    percentiles = statistics.quantiles(taken, n=100)
    print(
        f"{HALF_OPEN} opened in {opened - began:.1f} s, the longest lived {max(closed):.1f} s; "
        f"{len(taken)} GETs meanwhile: p50 {percentiles[49] * 1000:.0f} ms, p99 {percentiles[98] * 1000:.0f} ms"
    )
    assert len(closed) == HALF_OPEN
    held = [line["ms"] for line in lines(there, "haproxy.log") if line.get("status") == 408]
    assert len(held) > HALF_OPEN / 2
    assert max(held) < GONE_SECONDS * 1000
    assert percentiles[98] <= 1.0


def test_another_admin_token_is_taken_without_a_restart_and_told_to_the_trail(there: Installation) -> None:
    before = pids(there, "raylet", "haproxy", "ray::ServeRepl")
    old = there.token
    second = there.run("token", "create", "second", "--role", "admin").stdout.strip()
    refused = there.run_with("up", LANDLORD_ADMIN_TOKEN=second)
    assert refused.returncode == 2
    assert "is the secret of the token 'second' (admin)" in refused.stderr
    assert there.token == old
    there.environ["LANDLORD_ADMIN_TOKEN"] = secrets.token_urlsafe(32)
    there.environ["LANDLORD_TOKEN"] = second
    there.up()
    assert there.token == there.environ["LANDLORD_ADMIN_TOKEN"]
    assert before == pids(there, "raylet", "haproxy", "ray::ServeRepl")
    tenants = f"{url(there)}/v1/tenants"
    opened = {
        token: httpx.get(tenants, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code
        for token in (old, second, there.token)
    }
    assert opened == {old: 401, second: 200, there.token: 200}
    header = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"@{there.home}/token.header", tenants]
    assert subprocess.run(header, capture_output=True, text=True, check=True).stdout == "200"
    events = json.loads(there.run("events", "-o", "json").stdout)
    told = [event for event in events if event["type"] == "token.replaced"]
    assert [(event["actor"], event["data"]["name"]) for event in told] == [("landlord up", "admin")]


def test_the_logs_say_who_and_what_in_lines_of_json(there: Installation) -> None:
    path = "/v1/tenants/a%0a%7b%7d"
    answer = httpx.get(f"{url(there)}{path}", headers={"Authorization": "Bearer nobody"}, trust_env=False)
    asked = answer.headers["X-Request-ID"]
    ours = line_of(there, "api.log", asked)
    assert (ours["path"], ours["status"], ours["refused"], ours["client"]) == (path, 401, "unknown token", "127.0.0.1")
    theirs = line_of(there, "haproxy.log", asked)
    assert (theirs["path"], theirs["status"]) == (path, 401)
    assert there.token not in "".join(
        (there.home / "logs" / name).read_text() for name in os.listdir(there.home / "logs")
    )


def test_with_a_certificate_the_api_speaks_tls_and_takes_another_in_place(there: Installation) -> None:
    certificate, key = there.home / "cert.pem", there.home / "cert.key"

    def issue(name: str) -> None:
        command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {key} -out {certificate}"
        subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:localhost"], capture_output=True, check=True)

    issue("first")
    there.environ |= {"LANDLORD_TLS_CERT": str(certificate), "LANDLORD_TLS_KEY": str(key)}
    there.up()
    assert "up" in there.run("status").stdout
    there.run("tenant", "list")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{there.port}/healthz", trust_env=False)
    before, shown = pids(there, "raylet", "haproxy", "ray::ServeRepl"), front.shown("127.0.0.1", there.port)
    issue("second")
    there.up()
    there.run("tenant", "list")
    assert front.shown("127.0.0.1", there.port) not in (None, shown)
    assert before == pids(there, "raylet", "haproxy", "ray::ServeRepl")
    # From elsewhere, by a name and an authority.
    remote = {"LANDLORD_URL": f"https://localhost:{there.port}"}
    assert "is not to be trusted" in there.run_with("tenant", "list", **remote).stderr
    assert there.run_with("--ca", str(certificate), "tenant", "list", **remote).returncode == 0
    assert there.run_with("tenant", "list", **remote, LANDLORD_CA=str(certificate)).returncode == 0
    clear = there.run_with("tenant", "list", LANDLORD_URL="http://landlord.example:8000")
    assert (clear.returncode, "in clear" in clear.stderr) == (2, True)
