"""The embedded Postgres, for real: what survives which death, and what it holds of its starter."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest

from controlplane.errors import Unavailable
from controlplane.local import account
from controlplane.local.postgres import RUNNING, EmbeddedPostgres
from tests.integration.api_replica import until
from tests.processes import kill, such

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another account")


@dataclass
class Place:
    root: Path
    server: EmbeddedPostgres

    def processes(self) -> list[psutil.Process]:
        """The server and its children."""
        pid = self.server.pid
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]

    async def execute(self, statement: str) -> object:
        connection = await asyncpg.connect(host=str(self.root / "s"), user="landlord", database="landlord")
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@pytest.fixture
def place() -> Iterator[Place]:
    # Not tmp_path: the path of a Unix socket must be short.
    root = Path(tempfile.mkdtemp(prefix="landlord-"))
    server = EmbeddedPostgres(root / "data", root / "s", root / "log")
    yield Place(root, server)
    server.stop()
    shutil.rmtree(root)


async def test_the_database_is_made_served_and_adopted(place: Place) -> None:
    url = place.server.start()
    assert url == f"postgresql+asyncpg://landlord@/landlord?host={place.root}/s"
    assert await place.execute("SELECT current_user || '@' || current_database()") == "landlord@landlord"
    assert await place.execute("SHOW fsync") == "on"
    pid = place.server.pid

    another = EmbeddedPostgres(place.root / "data", place.root / "s", place.root / "log")
    assert another.running
    assert another.start() == url
    assert another.pid == pid


async def test_a_server_of_an_older_release_gets_the_role_that_runs(place: Place) -> None:
    """It let in the owner alone, and goes on running."""
    place.server.start()
    await place.execute(f"DROP ROLE {RUNNING}")
    for name in ("pg_hba.conf", "pg_ident.conf"):
        file = place.root / "data" / name
        file.write_text(file.read_text().replace(f",{RUNNING}", "").replace(f'" {RUNNING}', '" nobody_else'))
    await place.execute("SELECT pg_reload_conf()")
    pid = place.server.pid
    place.server.start()
    assert place.server.pid == pid

    async def runs() -> bool:
        with contextlib.suppress(asyncpg.PostgresError):  # until the server has read its files again
            running = await asyncpg.connect(host=str(place.root / "s"), user=RUNNING, database="landlord")
            await running.close()
            return True
        return False

    await until(runs)


def test_stop_is_idempotent_and_start_comes_after_it(place: Place) -> None:
    place.server.stop()
    place.server.start()
    place.server.stop()
    assert not place.server.running
    assert place.server.pid is None
    place.server.stop()
    place.server.start()
    assert place.server.running


async def test_committed_rows_survive_kill_9_of_every_process(place: Place) -> None:
    place.server.start()
    await place.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    kill(place.processes())

    place.server.start()

    assert await place.execute("SELECT answer FROM kept") == 42


def test_a_recycled_pid_is_no_running_server(place: Place) -> None:
    place.server.start()
    pid_file = place.root / "data" / "postmaster.pid"
    content = pid_file.read_text().splitlines()
    kill(place.processes())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        content[0] = str(stranger.pid)
        pid_file.write_text("\n".join(content) + "\n")
        (place.root / "s" / ".s.PGSQL.5432.lock").write_text("\n".join(content[:5]) + "\n")
        assert not place.server.running

        place.server.start()
        place.server.stop()

        assert stranger.poll() is None
        stranger.kill()


def test_a_half_made_database_is_made_anew_and_set_aside(place: Place) -> None:
    (place.root / "data").mkdir()
    (place.root / "data" / "PG_VERSION").write_text("18\n")
    (place.root / "data.new").mkdir()
    (place.root / "data.new" / "half").touch()

    place.server.start()

    assert place.server.running
    assert (place.root / "data.incomplete-1" / "PG_VERSION").is_file()
    assert not (place.root / "data.new").exists()


def test_concurrent_starts_make_one_server(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda _: place.server.start(), range(4)))
    assert len(urls) == 1
    (server,) = such(lambda process: str(place.root / "data") in process.cmdline())
    assert server.pid == place.server.pid


def test_the_server_keeps_nothing_of_its_starter(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_SECRET_X", "hidden")
    place.root.chmod(0o755)

    place.server.start()

    server = psutil.Process(place.server.pid)
    assert set(server.environ()) <= {"PATH", "HOME", "LANG", "PWD"}
    assert os.getsid(server.pid) == server.pid
    for descriptor in (0, 1, 2):
        assert os.readlink(f"/proc/{server.pid}/fd/{descriptor}") in ("/dev/null", str(place.root / "log"))
    assert not server.net_connections("inet")
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o755
    assert stat.S_IMODE((place.root / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((place.root / "s").stat().st_mode) == 0o700


TRUST = "local all all trust\n"


@as_root
@pytest.mark.parametrize("namespace", [True, False], ids=["in a user namespace", "as another account"])
def test_whoever_reaches_the_socket_is_let_in_only_as_us(
    place: Place, monkeypatch: pytest.MonkeyPatch, namespace: bool
) -> None:
    area = Path(tempfile.mkdtemp(prefix="landlord-area-"))
    area.chmod(0o755)
    try:
        monkeypatch.setattr(account, "AREA", area)
        if not namespace:
            monkeypatch.setattr(account, "_works", lambda command: False)
        place.server.start()
        host = place.server.url.partition("host=")[2]
        assert (strangers_answer(host), place.server.running) == ("connection refused at the door", True)
        open_the_door(Path(host))
        for name in ("nobody", "daemon", "postgres"):
            assert 'Peer authentication failed for user "landlord"' in strangers_answer(host, name)
        assert place.server.running
    finally:
        place.server.stop()
        shutil.rmtree(area)


def open_the_door(sockets: Path) -> None:
    for path in (sockets, sockets / ".s.PGSQL.5432", *sockets.parents[:-2]):
        path.chmod(0o777)


def strangers_answer(host: str, name: str = "nobody") -> str:
    """What one of the machine's accounts gets that connects as the database's superuser: by the bare protocol, since
    the wheel's psql is closed to it."""
    script = f"""
import socket, struct
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(10)
    try:
        s.connect({f"{host}/.s.PGSQL.5432"!r})
    except PermissionError:
        print("connection refused at the door")
    else:
        body = struct.pack("!i", 196608) + b"user\\0landlord\\0database\\0postgres\\0\\0"
        s.sendall(struct.pack("!i", len(body) + 4) + body)
        print(s.recv(4096))
"""
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", script],
        user=pwd.getpwnam(name).pw_uid,
        group=pwd.getpwnam(name).pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@as_root
@pytest.mark.parametrize("running", [True, False])
def test_a_database_of_an_older_release_is_closed_at_the_next_start(place: Place, running: bool) -> None:
    place.server.start()
    if not running:
        place.server.stop()
    (place.root / "data" / "pg_hba.conf").write_text(TRUST)
    (place.root / "data" / "pg_ident.conf").write_text("")
    if running:
        psutil.Process(place.server.pid).send_signal(signal.SIGHUP)
        open_the_door(place.root / "s")
        eventually(lambda: "Peer" not in strangers_answer(str(place.root / "s")))
    pid = place.server.pid

    place.server.start()

    open_the_door(place.root / "s")
    eventually(lambda: "Peer authentication failed" in strangers_answer(str(place.root / "s")))
    assert place.server.running
    assert not running or place.server.pid == pid
    assert stat.S_IMODE((place.root / "data" / "pg_hba.conf").stat().st_mode) == 0o600


def eventually(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up


def test_a_failure_to_start_says_why(place: Place) -> None:
    place.server.start()
    place.server.stop()
    (place.root / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        place.server.start()


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="too long"):
        EmbeddedPostgres(tmp_path / "data", tmp_path / ("s" * 100), tmp_path / "log")


@as_root
def test_without_user_namespaces_another_account_serves_and_keeps_the_data(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = Path(tempfile.mkdtemp(prefix="landlord-area-"))
    area.chmod(0o755)
    try:
        place.server.start()
        place.server.stop()
        monkeypatch.setattr(account, "AREA", area)
        monkeypatch.setattr(account, "_works", lambda command: False)

        place.server.start()

        server = psutil.Process(place.server.pid)
        assert server.uids().real != 0
        assert not set(os.getgrouplist("root", 0)) & set(server.gids())
        assert server.exe().startswith(str(area))
        assert place.server.running
        assert (place.root / "data").is_symlink()
        server.send_signal(signal.SIGKILL)
        server.wait(10)
        monkeypatch.undo()
        monkeypatch.setattr(account, "AREA", area)
        place.server.start()
        assert psutil.Process(place.server.pid).uids().real != 0
    finally:
        place.server.stop()
        shutil.rmtree(area)
