"""The Redis that keeps what Ray knows of a cluster, as `landlord up` asks it: Debian's, with and without TLS."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.errors import SettingsError, Unavailable
from controlplane.local.head_store import AUTHORITIES, PASSWORD, USERNAME, WAITING, HeadStore, waiting
from tests.remote_engine import certify

OURS, OTHERS = "0123456789ab", "ba9876543210"
SECRET = "one:of@its/own"
IN_URL = "one%3Aof%40its%2Fown"
SECONDS = 20


class Redis:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plain, self.tls = _free(), _free()
        self.environ = {AUTHORITIES: str(directory / "ca.pem")}

    def ask(self, *words: str) -> str:
        command = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.plain), *words]
        environ = {"REDISCLI_AUTH": SECRET, "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout.strip()

    def url(self, *, tls: bool = False, user: str = "", password: str = IN_URL) -> str:
        scheme, port = ("rediss", self.tls) if tls else ("redis", self.plain)
        return f"{scheme}://{user}:{password}@127.0.0.1:{port}"


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("these tests need redis-server: apt-get install redis-server")
    one = Redis(tmp_path_factory.mktemp("redis"))
    certify(one.directory, "127.0.0.1")
    options = {
        "bind": "127.0.0.1",
        "port": str(one.plain),
        "tls-port": str(one.tls),
        "tls-cert-file": "server.pem",
        "tls-key-file": "server.key",
        "tls-ca-cert-file": "ca.pem",
        "tls-auth-clients": "no",
        "requirepass": SECRET,
        "save": "",
    }
    words = [word for name, text in options.items() for word in (f"--{name}", text)]
    with (one.directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, *words], cwd=one.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        give_up = time.monotonic() + SECONDS
        while one.ask("ping") != "PONG":
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.fail((one.directory / "log").read_text())
            time.sleep(0.05)
        one.ask("ACL", "SETUSER", "ray", "on", ">of-ray", "~*", "+@all")
        yield one
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["plain", "tls", "user"])
def store(redis: Redis, request: pytest.FixtureRequest) -> HeadStore:
    urls = {
        "plain": redis.url(),
        "tls": redis.url(tls=True),
        "user": redis.url(user="ray", password="of-ray"),
    }
    return HeadStore.of(urls[request.param])


@pytest.fixture(autouse=True)
def empty(redis: Redis) -> Iterator[None]:
    yield
    redis.ask("FLUSHALL")


def test_it_holds_what_ray_has_put_there_until_it_forgets_that(store: HeadStore, redis: Redis) -> None:
    assert not store.holds(OURS, redis.environ)
    for cluster in (OURS, OTHERS):
        for kind in ("KV", "NODE", "ACTOR"):
            redis.ask("HSET", f"RAYlandlord-{cluster}@{kind}", "key", "of a thing")
    assert store.holds(OURS, redis.environ)
    store.forget(OURS, redis.environ)
    assert not store.holds(OURS, redis.environ)
    assert store.holds(OTHERS, redis.environ)
    store.forget(OURS, redis.environ)


def test_many_keys_of_others_hide_none(redis: Redis) -> None:
    script = "for i = 1, 5000 do redis.call('SET', 'other' .. i, '') end"
    redis.ask("EVAL", script, "0")
    redis.ask("HSET", f"RAYlandlord-{OURS}@KV", "key", "value")
    assert HeadStore.of(redis.url()).holds(OURS, redis.environ)


@pytest.mark.parametrize("wrong", ["password", "nobody", "authority"])
def test_one_that_does_not_serve_says_why_in_one_line(redis: Redis, wrong: str) -> None:
    url = {
        "password": redis.url(password="another"),
        "nobody": f"redis://127.0.0.1:{_free()}",
        "authority": redis.url(tls=True),
    }[wrong]
    said = {"password": "WRONGPASS", "nobody": "refused", "authority": "CERTIFICATE_VERIFY_FAILED"}[wrong]
    with pytest.raises(
        Unavailable, match=f"LANDLORD_RAY_REDIS: the Redis at 127.0.0.1:.* does not serve: .*{said}"
    ) as caught:
        HeadStore.of(url).holds(OURS, {})
    assert "\n" not in caught.value.message
    assert "another" not in caught.value.message


def test_a_server_that_ends_the_connection_is_none() -> None:
    with contextlib.ExitStack() as left:
        listener = left.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.listen()
        store = HeadStore("127.0.0.1", listener.getsockname()[1], password="x")
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(Unavailable):
            store.holds(OURS, {})


def test_what_starts_the_head_gets_the_password_beside_the_address() -> None:
    store = HeadStore.of(f"rediss://ray:{IN_URL}@redis.internal:6380")
    found = store.environment(OURS, {AUTHORITIES: "/etc/ca.pem"})
    assert found == {
        "RAY_REDIS_ADDRESS": "rediss://redis.internal:6380",
        "RAY_external_storage_namespace": f"landlord-{OURS}",
        AUTHORITIES: "/etc/ca.pem",
        USERNAME: "ray",
        PASSWORD: SECRET,
    }
    assert SECRET not in repr(store)
    assert HeadStore.of("redis.internal:6379").environment(OURS, {}) == {
        "RAY_REDIS_ADDRESS": "redis://redis.internal:6379",
        "RAY_external_storage_namespace": f"landlord-{OURS}",
    }


def test_machines_wait_an_hour_for_their_head_unless_they_are_told_otherwise() -> None:
    assert waiting({}) == {WAITING: "3600"}
    assert waiting({WAITING: "60"}) == {WAITING: "60"}


@pytest.mark.parametrize(
    "url", ["", "redis", "redis://", "http://a:1", "redis://a", "redis://a:b", "redis://a:1/0", "a:99999"]
)
def test_what_is_no_address_of_a_redis_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_RAY_REDIS: is redis://"):
        HeadStore.of(url)
