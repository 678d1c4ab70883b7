"""The embedded Postgres of one home: a server on a Unix socket, from the binaries of a wheel.

The truth about a running server is a connection that reports our data directory. A pid file is only a hint: after a
power cut its pid may belong to any process.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil

from controlplane.errors import Unavailable
from controlplane.local.account import Account, choose_account, client, minimal_environment, seen_by
from controlplane.local.lock import file_lock
from controlplane.local.paths import end_of, private_directory, write_private

NAME = "landlord"
"""Name of the role that owns the tables, and of the database."""
RUNNING = "landlord_run"
"""Name of the role as which the control plane runs. `landlord up` grants it what it needs."""
LONGEST_SOCKET_DIRECTORY = 96
START_SECONDS = 120.0
"""Crash recovery after a kill may take a while."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05

OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "250",
    "shared_buffers": "64MB",
    "fsync": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}


HBA = f"""\
# Written by Landlord at each start: only its own account may connect, whichever account reaches the socket.
local all {NAME},{RUNNING} peer map={NAME}
"""
IDENT = f"""\
# Written by Landlord at each start: its account, in the eyes of this server.
{NAME} "{{account}}" {NAME}
{NAME} "{{account}}" {RUNNING}
"""


class EmbeddedPostgres:
    """Starts, adopts and stops the server of one data directory.

    `start` is idempotent and safe against another `start` of the same directory. The server outlives its starter, holds
    none of its files and none of its environment, listens on a socket in a 0700 directory only, and lets in nobody but
    the account that runs Landlord. All calls block.
    """

    def __init__(self, data: Path, sockets: Path, log: Path) -> None:
        """`start` makes `data`; its parent must exist. `sockets` must have a short path. `log` is appended to."""
        if len(os.fsencode(sockets.absolute())) > LONGEST_SOCKET_DIRECTORY:
            raise Unavailable(f"{sockets} is too long a path for the sockets of Postgres")
        self._data = data.absolute()
        self._sockets = sockets.absolute()
        self._log = log

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy, as the owner of the tables."""
        return self._url(NAME)

    @property
    def running_url(self) -> str:
        """The same, as the role of what runs."""
        return self._url(RUNNING)

    @property
    def running(self) -> bool:
        """True if a server answers on our socket and serves our data directory."""
        return self._query("postgres", "SHOW data_directory") == str(self._data.resolve())

    @property
    def pid(self) -> int | None:
        """The server's pid. None: it does not run."""
        servers = self._servers()
        return min(servers, key=psutil.Process.create_time).pid if servers else None

    def start(self) -> str:
        """If there is no database, make it. Start the server, or adopt a running one. Returns `url`.

        Raises Unavailable with the end of the log if the server does not come up.
        """
        with file_lock(self._data.with_name(f"{self._data.name}.lock")):
            self._renew_access()
            if not self.running:
                account = choose_account(separate=self._data.is_symlink())
                self._initialise(account)
                self._await_predecessor()
                if not self.running:
                    self._launch(account)
            if self._query("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{NAME}'") != "1":
                self._query("postgres", f"CREATE DATABASE {NAME}")
            if self._query("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = '{RUNNING}'") != "1":
                self._query("postgres", f"CREATE ROLE {RUNNING} LOGIN")
        return self.url

    def stop(self) -> None:
        """Shut down fast, and immediately after 30 s. If the server does not run, that is success."""
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            pid = self.pid
            if pid is None:
                return
            try:
                server = psutil.Process(pid)
                server.send_signal(sign)
                server.wait(STOP_SECONDS)
            except psutil.NoSuchProcess:
                return
            except psutil.TimeoutExpired:
                continue

    def _url(self, role: str) -> str:
        return f"postgresql+asyncpg://{role}@/{NAME}?host={quote(str(self._host()), safe='/')}"

    def _host(self) -> Path:
        """The directory of the socket: the caller's, or next to the data if another account runs the server."""
        return self._data.resolve().parent / "s" if self._data.is_symlink() else self._sockets

    def _initialise(self, account: Account) -> None:
        if account.separate and not self._data.is_symlink():
            self._move_out(account)
        data = self._data.resolve()
        if (data / "global" / "pg_control").is_file():
            return
        if data.is_dir() and any(data.iterdir()):
            # It is not a database, but may be somebody's files: move it aside, do not delete it.
            data.rename(_unused(data.with_name(f"{data.name}.incomplete")))
        draft = data.with_name(f"{data.name}.new")
        if draft.exists():
            shutil.rmtree(draft)
        account.own(draft)
        made = self._run(
            account,
            "initdb",
            f"--pgdata={draft}",
            f"--username={NAME}",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        if made != 0:
            raise Unavailable(f"initdb failed: {end_of(self._log)}")
        draft.rename(data)

    def _move_out(self, account: Account) -> None:
        """Give the data to the account: move it to a directory that the account can reach, and leave a link."""
        place = account.place(self._data)
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        account.own(place)
        target = place / "data"
        if self._data.is_dir():
            shutil.move(self._data, target)
            for directory, _, files in os.walk(target):
                for path in (directory, *(os.path.join(directory, file) for file in files)):
                    os.chown(path, account.uid or 0, account.gid or 0, follow_symlinks=False)
        self._data.symlink_to(target)

    def _write_access(self, seen_as: int) -> bool:
        """Let in our own account only, which has the uid `seen_as` in the eyes of the server. False if the files say
        that already."""
        data = self._data.resolve()
        try:
            account = pwd.getpwuid(seen_as).pw_name
        except KeyError:
            raise Unavailable(f"the account with uid {seen_as}, as which Postgres knows us, is gone") from None
        wanted = {"pg_hba.conf": HBA, "pg_ident.conf": IDENT.format(account=account)}
        stale = {name: text for name, text in wanted.items() if _text(data / name) != text}
        owner = data.stat()
        for name, text in stale.items():
            write_private(data / name, text)
            os.chown(data / name, owner.st_uid, owner.st_gid)
        return bool(stale)

    def _renew_access(self) -> None:
        """Close a running server that an older release started: it let in everyone who reached its socket."""
        pid = self.pid
        if pid is not None and self._write_access(seen_by(pid)):
            psutil.Process(pid).send_signal(signal.SIGHUP)

    def _await_predecessor(self) -> None:
        """Wait for a server that starts, stops or recovers; remove the leftovers of a dead one.

        Postgres clears the pid file of a dead server itself. But if that pid now belongs to another process, Postgres
        takes it for a live server. We may remove the file because no process of any server, workers included, is in
        this directory: the file guards against those.
        """
        if not _eventually(lambda: self.running or not self._servers(), START_SECONDS):
            raise Unavailable(f"Postgres (pid {self.pid}) does not answer: {end_of(self._log)}")
        if not self.running:
            socket = self._host() / ".s.PGSQL.5432"
            for stale in (self._data / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
                stale.unlink(missing_ok=True)

    def _launch(self, account: Account) -> None:
        host = self._host()
        if account.separate:
            account.own(host)
        else:
            private_directory(host)
        self._write_access(account.seen_as)
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        arguments = ["-D", str(self._data.resolve()), "-k", str(host), *options]
        with self._log.open("ab") as log:
            server = subprocess.Popen(
                account.command("postgres", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=minimal_environment(),
                start_new_session=True,
                user=account.uid,
                group=account.gid,
                extra_groups=[] if account.separate else None,
            )
        if not _eventually(lambda: server.poll() is not None or self.running, START_SECONDS) or not self.running:
            raise Unavailable(f"Postgres did not start: {end_of(self._log)}")
        # It outlives us on purpose. Without this the interpreter warns that we did not wait for it.
        server.returncode = 0

    def _run(self, account: Account, program: str, *arguments: str) -> int:
        with self._log.open("ab") as log:
            return subprocess.run(
                account.command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=minimal_environment(),
                user=account.uid,
                group=account.gid,
                extra_groups=[] if account.separate else None,
                check=False,
            ).returncode

    def _query(self, database: str, statement: str) -> str | None:
        """Read one value through psql (this may be called inside an event loop). None: no server, or an error."""
        if not (self._host() / ".s.PGSQL.5432").is_socket():
            return None
        target = ["--host", str(self._host()), "--username", NAME, "--dbname", database]
        found = subprocess.run(
            client("psql", "-XAtw", *target, "--command", statement),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**minimal_environment(), "PGCONNECT_TIMEOUT": "5"},
            check=False,
        )
        return found.stdout.strip() if found.returncode == 0 else None

    def _servers(self) -> list[psutil.Process]:
        """Processes of any Postgres in our data directory (its children too)."""
        data = str(self._data.resolve())
        found = []
        for process in psutil.process_iter():
            try:
                if process.name() == "postgres" and process.cwd() == data:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def _eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _unused(path: Path) -> Path:
    number = 1
    while path.with_name(f"{path.name}-{number}").exists():
        number += 1
    return path.with_name(f"{path.name}-{number}")
