"""The real HAProxy behind the launcher, with the configuration that this Ray writes: half-sent requests, TLS, its log.

The application behind it is a server of this test.
"""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from controlplane.api.problem import CODES, TYPE_PREFIX
from controlplane.errors import SettingsError
from controlplane.local import front
from controlplane.local.haproxy import CLIENT_SECONDS, REQUEST_SECONDS, UNTIL_THE_END, launcher
from controlplane.local.head import real_haproxy
from controlplane.local.paths import Home
from controlplane.local.pinned import pinned
from controlplane.settings import Settings
from tests.e2e.installation import free_port

WRITE = """
import sys
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

directory, port, stats, metrics, server = sys.argv[1], *map(int, sys.argv[2:])
config = HAProxyConfig(
    http_options=HTTPOptions(host="127.0.0.1", port=port),
    socket_path=f"{directory}/a.sock",
    metrics_socket_path=f"{directory}/m.sock",
    server_state_base=directory,
    server_state_file=f"{directory}/state",
    stats_port=stats,
    metrics_port=metrics,
    log_target="stdout len 8192 format raw",
    has_received_routes=True,
    has_received_servers=True,
)
servers = [ServerConfig(name="one", host="127.0.0.1", port=server)]
api = BackendConfig(name="api", path_prefix="/", app_name="api", servers=servers)
HAProxyApi(config, {"api": api}, f"{directory}/haproxy.cfg")._generate_config_file_internal()
"""
PORTS = ("60001", "60002", "60003", "60004")
SLOW_SECONDS = CLIENT_SECONDS + 2


@dataclass
class Door:
    """One HAProxy with an application behind it."""

    home: Home
    port: int
    stats: int
    certificates: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> list[dict[str, object]]:
        path = self.home.logs / "haproxy.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def settings(self, name: str) -> Settings:
        return Settings(
            home=self.home.root,
            port=self.port,
            tls_cert=self.certificates / f"{name}.pem",
            tls_key=self.certificates / f"{name}.key",
        )


async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what it got: the path and the headers; `/slow` after a while, `/stream` bit by bit, `/breaks` nonsense."""
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            path, headers = head.split()[1], head.split("\r\n")[1:-2]
            sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
            await reader.readexactly(int(sent.get("content-length", 0)))
            body = json.dumps({"path": path, "headers": sent}).encode()
            if path == "/breaks":
                writer.write(b"no answer\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 OK\r\nX-Request-ID: from-the-app\r\nx-request-id: from-serve\r\n")
            if path == "/stream":
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
                await asyncio.sleep(SLOW_SECONDS)
                writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
                continue
            if path == "/slow":
                await asyncio.sleep(SLOW_SECONDS)
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Ask again and again until it holds; the test's own time limit ends it otherwise."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


def make_certificate(directory: Path, name: str) -> None:
    """Self-signed, for the name alone: nobody reaches a server at 127.0.0.1 by it."""
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem "
        f"-addext subjectAltName=DNS:{name}.test".split(),
        cwd=directory,
        capture_output=True,
        check=True,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("first", "second"):
        make_certificate(directory, name)
    return directory


def start(home: Home, directory: Path) -> "subprocess.Popen[bytes]":
    """HAProxy as Serve starts it: through the launcher, with the file that Ray wrote."""
    script = home.runtime / "haproxy"
    script.write_text(launcher(sys.executable, real_haproxy(), home.front))
    script.chmod(0o700)
    with (home.root / "stderr").open("wb") as errors:
        return subprocess.Popen([script, "-db", "-f", directory / "haproxy.cfg", "-dR"], stderr=errors)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that this Ray writes, for PORTS."""
    directory = tmp_path_factory.mktemp("written")
    arguments = [sys.executable, "-c", WRITE, str(directory), *PORTS]
    subprocess.run(arguments, check=True, capture_output=True)
    return directory


@pytest_asyncio.fixture(scope="module", params=["plain", "tls"])
async def door(
    request: pytest.FixtureRequest, short_dir: Path, certificates: Path, written: Path
) -> AsyncIterator[Door]:
    root = short_dir / f"front-{request.param}"
    patch = pytest.MonkeyPatch()
    patch.setattr(Home, "runtime", property(lambda home: home.root / "run"))
    home = Home(root)
    directory = home.runtime / "node"
    for path in (root, home.logs, home.runtime, directory):
        path.mkdir(mode=0o700)
    server = await asyncio.start_server(application, "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    made = Door(home, free_port(), free_port(), certificates)
    shutil.copy(written / "500.http", directory)
    configuration = (written / "haproxy.cfg").read_text().replace(str(written), str(directory))
    for name, port in zip(PORTS, (made.port, made.stats, free_port(), behind), strict=True):
        configuration = configuration.replace(name, str(port))
    (directory / "haproxy.cfg").write_text(configuration)
    front.prepare(home, made.settings("first") if request.param == "tls" else Settings(home=root))
    process = start(home, directory)
    while not await asyncio.to_thread(answers, made):
        assert process.poll() is None, (root / "stderr").read_text()
    made.process = process
    yield made
    process.terminate()
    process.wait()
    server.close()
    patch.undo()
    shutil.rmtree(root)


def client(door: Door) -> httpx.AsyncClient:
    tls = door.home.tls.exists()
    return httpx.AsyncClient(
        base_url=f"{'https' if tls else 'http'}://127.0.0.1:{door.port}",
        verify=pinned(door.home.tls) if tls else True,
        timeout=30,
        trust_env=False,
    )


def get(door: Door, certificate: Path | None) -> int:
    """Blocks."""
    url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{door.port}/"
    verify = True if certificate is None else pinned(certificate)
    return httpx.get(url, verify=verify, trust_env=False).status_code


def answers(door: Door) -> bool:
    try:
        return get(door, door.home.tls if door.home.tls.exists() else None) == 200
    except httpx.HTTPError:
        return False


async def half_open(door: Door, sent: bytes, *, tls: bool) -> float:
    """Seconds until the door closes a connection on which no more than this is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=context if tls else None)
    began = time.monotonic()
    writer.write(sent)
    with suppress(ConnectionError):
        await reader.read()
    writer.close()
    return time.monotonic() - began


async def test_whoever_owes_the_rest_of_a_request_is_gone_soon_and_whoever_waits_is_not(door: Door) -> None:
    tls = door.home.tls.exists()
    async with client(door) as http:
        waiting = [asyncio.create_task(http.get(path)) for path in ("/slow", "/stream")]
        halves = [
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
        ]
        taken = await asyncio.gather(*(half_open(door, sent, tls=tls) for sent in halves))
        assert all(REQUEST_SECONDS - 1 < seconds < 15 for seconds in taken), taken
        if tls:
            # Not even the handshake.
            assert await half_open(door, b"\x16\x03\x01", tls=False) < 15
        assert [(await one).status_code for one in waiting] == [200, 200]
        assert (await waiting[1]).text == "onetwo"


async def test_each_request_is_one_line_of_json_with_its_id_and_no_line_of_the_clients(door: Door) -> None:
    async with client(door) as http:
        path = "/a%0a%7b%22status%22:1%7d%22%5c%1b%ff"
        answer = await http.get(path, headers={"X-Forwarded-For": "6.6.6.6"})
    seen = answer.json()
    assert answer.headers.get_list("X-Request-ID") == ["from-the-app"]
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    await until(lambda: any(line.get("path") == path for line in door.log))
    [line] = [line for line in door.log if line.get("path") == path]
    assert (line["client"], line["method"], line["status"], line["request_id"]) == (
        "127.0.0.1",
        "GET",
        200,
        "from-the-app",
    )


async def test_a_request_that_no_replica_answers_is_a_problem_to_try_again(door: Door) -> None:
    async with client(door) as http:
        answer = await http.post("/breaks", json={})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "2"
    problem = answer.json()
    assert problem["code"] == "unavailable"
    assert problem["type"] == f"{TYPE_PREFIX}{problem['code']}"
    assert (problem["status"], problem["title"]) == CODES[problem["code"]]


async def test_only_short_reads_run_to_their_end_without_their_client(door: Door) -> None:
    """Whatever a client says: its waits and watches end when it leaves."""
    short = ["/healthz", "/v1/tenants", "/v1/tenants?limit=50", "/v1/tenants/acme"]
    others = ["/readyz", "/v1/watch", "/v1/tenants/acme/watch", "/v1/tenants/acme/logs", "/v1/events"]
    asked = [("GET", path) for path in short + others] + [("POST", "/v1/tenants"), ("PATCH", "/v1/tenants/acme")]
    async with client(door) as http:
        found = [(await http.request(*one, headers={UNTIL_THE_END: "?1"})).json()["headers"] for one in asked]
    assert [one.get(UNTIL_THE_END) for one in found] == ["?1"] * len(short) + [None] * (len(asked) - len(short))


async def test_statistics_take_no_place_of_the_apis(door: Door) -> None:
    async with AsyncExitStack() as held:
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", door.stats)
            held.callback(writer.close)
        async with client(door) as http:
            assert (await asyncio.wait_for(http.get("/"), 20)).status_code == 200


@pytest.mark.parametrize("door", ["tls"], indirect=True)
async def test_another_certificate_is_shown_without_the_end_of_a_request(door: Door, certificates: Path) -> None:
    assert door.process is not None
    pid = psutil.Process(door.process.pid)
    done, failed, over = 0, list[str](), asyncio.Event()

    async def ask() -> None:
        nonlocal done
        async with client(door) as http:
            while not over.is_set():
                try:
                    answer = await http.get("/")
                    assert answer.status_code == 200
                    done += 1
                except httpx.HTTPError as error:
                    failed.append(repr(error))

    def enough(count: int) -> bool:
        return done > count

    before = front.shown("127.0.0.1", door.port)
    asking = [asyncio.create_task(ask()) for _ in range(4)]
    async with client(door) as held:
        stream = asyncio.create_task(held.get("/stream"))
        for name in ("second", "first", "second"):
            await until(partial(enough, done + 20))
            front.prepare(door.home, door.settings(name))
            assert await asyncio.to_thread(front.renew, door.home, door.port)
            assert not await asyncio.to_thread(front.renew, door.home, door.port)
        assert (await stream).text == "onetwo"
    over.set()
    await asyncio.gather(*asking)
    assert failed == []
    assert front.shown("127.0.0.1", door.port) != before
    assert pid.is_running()
    # A client that was told of the first one only no longer takes the server for ours.
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        await asyncio.to_thread(get, door, certificates / "first.pem")


@pytest.mark.parametrize("door", ["tls"], indirect=True)
@pytest.mark.parametrize("said", ["nothing", "the earlier one"])
async def test_a_certificate_is_given_until_it_is_shown(door: Door, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """A HAProxy may be too busy to show one, or be replaced by one that has read the earlier certificate."""
    front.prepare(door.home, door.settings("first"))
    await asyncio.to_thread(front.renew, door.home, door.port)
    earlier = front.shown("127.0.0.1", door.port)
    front.prepare(door.home, door.settings("second"))
    taken: list[bool] = []
    real, take = front.shown, front._take

    def seen(host: str, port: int) -> bytes | None:
        return real(host, port) if len(taken) > 1 else None if said == "nothing" else earlier

    def counted(admin: Path, certificate: Path, text: str) -> bool:
        taken.append(take(admin, certificate, text))
        return taken[-1]

    monkeypatch.setattr(front, "shown", seen)
    monkeypatch.setattr(front, "_take", counted)
    assert await asyncio.to_thread(front.renew, door.home, door.port)
    assert (taken, real("127.0.0.1", door.port) == earlier) == ([True, True], False)


async def test_a_certificate_is_given_to_nobody_if_no_haproxy_runs(door: Door) -> None:
    front.prepare(door.home, door.settings("second"))
    assert door.process is not None
    door.process.kill()
    door.process.wait()
    assert not front.renew(door.home, door.port)


@pytest.mark.parametrize(
    ("certificate", "key"), [("first.pem", "second.key"), ("none.pem", "first.key"), ("first.key", "first.pem")]
)
def test_files_that_do_not_fit_are_one_line(tmp_path: Path, certificates: Path, certificate: str, key: str) -> None:
    settings = Settings(home=tmp_path, tls_cert=certificates / certificate, tls_key=certificates / key)
    with pytest.raises(SettingsError, match="LANDLORD_TLS_CERT") as caught:
        front.prepare(Home(tmp_path), settings)
    assert "\n" not in caught.value.message
    assert not os.listdir(tmp_path)
