"""Postgres as it is bought, as a pytest plugin: Debian's server with TLS and passwords, standbys, and PgBouncer."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import free_port

PASSWORD = "p/w@of#the:tests"
PASSWORD_IN_URL = "p%2Fw%40of%23the:tests"
SECONDS = 60

CONNECTIONS = 300
"""The default of 100 leaves two machines with one live actor at a time."""


@dataclass
class DebianServer:
    """A server on 127.0.0.1 whose certificate names `localhost`. Its superuser is `landlord`, with a password.

    `within`: a command that runs another one on the machine of the server's `address`."""

    directory: Path
    port: int = field(default_factory=free_port)
    address: str = "127.0.0.1"
    within: Sequence[str] = ()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def authority(self) -> Path:
        """The certificate that signed the server's."""
        return self.directory / "ca.pem"

    def url(self, *, host: str = "localhost", user: str = "landlord", **query: str) -> str:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://{user}:{PASSWORD_IN_URL}@{host}:{self.port}/landlord" + (f"?{words}" if words else "")

    def make(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "landlord", "--auth=scram-sha-256", f"--pwfile={self._password()}")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses='127.0.0.1,{self.address}'\nport={self.port}\nunix_socket_directories=''\nfsync=off\nssl=on\n"
            )
            file.write("ssl_cert_file='server.pem'\nssl_key_file='server.key'\n")
            file.write(f"max_connections={CONNECTIONS}\n")
        (self.data / "pg_hba.conf").write_text(
            "hostssl all all 0.0.0.0/0 scram-sha-256\nhostssl replication all 127.0.0.1/32 scram-sha-256\n"
        )
        certify(self.directory, self.data)
        self.start()
        self.sql("CREATE DATABASE landlord", database="postgres")

    def follow(self, primary: "DebianServer") -> None:
        """Become a hot standby of another server."""
        source = f"host=localhost port={primary.port} user=landlord sslmode=require"
        self._run("pg_basebackup", "-D", self.data, "-d", source, "-R", "-c", "fast", PGPASSWORD=PASSWORD)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port={self.port}\n")
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def promote(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "promote")

    def sql(self, *statements: str, database: str = "landlord") -> str:
        """The first column of the last row."""
        where = f"host=localhost port={self.port} user=landlord dbname={database} sslmode=require"
        commands = [word for statement in statements for word in ("-c", statement)]
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *commands, where, PGPASSWORD=PASSWORD).strip()

    def _run(self, program: str, *arguments: Any, **environ: str) -> str:
        return run(program, *arguments, within=self.within, **environ)

    def _password(self) -> Path:
        file = self.directory / "password"
        file.write_text(PASSWORD)
        os.chown(file, *account())
        return file


@dataclass
class PgBouncer:
    """Debian's PgBouncer in front of a server, for its superuser, without TLS."""

    server: DebianServer
    directory: Path
    mode: str
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql://landlord:whatever@127.0.0.1:{self.port}/landlord"

    def start(self) -> None:
        file = self.directory / f"{self.mode}.ini"
        file.write_text(
            f"[databases]\nlandlord = host=127.0.0.1 port={self.server.port} user=landlord password='{PASSWORD}'\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={self.port}\nunix_socket_dir=\nauth_type=any\n"
            f"pool_mode={self.mode}\nserver_tls_sslmode=require\n"
        )
        uid, gid = account()
        with (self.directory / f"{self.mode}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") or "pgbouncer", file],
                user=uid,
                group=gid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS
        while subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"pgbouncer does not come up:\n{(self.directory / f'{self.mode}.log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def account() -> tuple[int, int]:
    """Uid and gid of the servers: they refuse to run as root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    found = pwd.getpwnam("postgres")
    return found.pw_uid, found.pw_gid


def binaries() -> Path:
    """The newest of Debian's servers."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.fail("these tests need Debian's Postgres: apt-get install postgresql")
    return found[-1].parent


def run(program: str, *arguments: Any, within: Sequence[str] = (), **environ: str) -> str:
    uid, gid = account()
    # Only root enters another machine.
    become = ["setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups"] if within else []
    user: dict[str, Any] = {} if within else {"user": uid, "group": gid, "extra_groups": []}
    # pg_ctl's server keeps what it inherits open: a pipe would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [*within, *become, binaries() / program, *map(str, arguments)],
            **user,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    if done.returncode != 0:
        pytest.fail(f"{program} failed:\n{said}")
    return said


def certify(directory: Path, data: Path) -> None:
    """An authority in `directory`, another one that signed nothing, and the server's certificate in `data`."""
    uid, gid = account()
    authority = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={0} -keyout {0}.key -out {0}.pem"
    request = "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr"
    sign = "openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem"
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    for command in (authority.format("ca"), authority.format("other"), request, f"{sign} -extfile names"):
        subprocess.run(command.split(), cwd=directory, capture_output=True, check=True)
    for name in ("server.key", "server.pem"):
        shutil.move(directory / name, data / name)
        os.chown(data / name, uid, gid)
        (data / name).chmod(0o600)


def place() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="ll-pg-"))
    directory.chmod(0o755)
    os.chown(directory, *account())
    return directory


@pytest.fixture(scope="session")
def debian() -> Iterator[DebianServer]:
    """One server for all tests; each test prepares its database anew or leaves it well."""
    server = DebianServer(place())
    try:
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.directory)
