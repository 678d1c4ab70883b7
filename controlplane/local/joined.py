"""This machine as a node of another one's cluster: `join` starts Ray and the API's part here, `leave` ends them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from controlplane.errors import SettingsError, Unavailable
from controlplane.local import front, head_store
from controlplane.local.application import READY_SECONDS, SETTLED_SECONDS, Application
from controlplane.local.authority import NodeCertificates
from controlplane.local.build import build_id
from controlplane.local.environment import (
    fingerprint,
    node_environment,
    ray_environment,
    server_environment,
    settings_environment,
)
from controlplane.local.hardening import forbid_core_dumps
from controlplane.local.head import RayNode
from controlplane.local.lock import file_lock
from controlplane.local.node import node_name
from controlplane.local.paths import Home
from controlplane.local.ports import derive_ports, is_free
from controlplane.local.processes import end_processes
from controlplane.local.providers import resolve
from controlplane.local.state import RunState
from controlplane.settings import Settings


@dataclass(frozen=True)
class Joining:
    """The cluster that this machine joins, as the database has it: `gcs` is the address and port of its head's.
    `stored`: the cluster outlives its head, so this machine waits for it."""

    cluster_id: str
    gcs: str
    stored: bool = False


class JoinedNode:
    """One home on this machine, part of another one's cluster. `join` and `leave` exclude each other through a file
    lock. Tenants' compute is not touched by either."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        """`say` receives lines of progress."""
        self._settings = settings
        self._environ = environ
        self._say = say
        self.home = Home(settings.home)
        self._application = Application(settings.own_url, self.home.tls if settings.tls else None)

    def join(self, cluster: Joining, accept: Callable[[Home], None]) -> bool:
        """Start what belongs here, or repair it. Returns once the API answers here. `accept` is called before, with the
        home made, to keep an invitation in it. False: all ran already.

        Raises SettingsError, Unavailable."""
        self.home.ensure()
        forbid_core_dumps()
        with file_lock(self.home.lock, waiting=lambda: self._say("another landlord command works on this home")):
            state = RunState.read(self.home.state)
            if state is not None and state.head is None:
                raise SettingsError(
                    f"LANDLORD_HOME: {self.home.root} has a control plane of its own; `landlord down` ends it"
                )
            accept(self.home)
            self._check()
            front.prepare(self.home, self._settings)
            return self._start(cluster, state)

    def leave(self) -> int:
        """End everything but tenants' compute. Returns the number of ended processes. Raises SettingsError if this
        machine has not joined a cluster."""
        state = RunState.read(self.home.state)
        if state is None or state.head is None:
            raise SettingsError(f"LANDLORD_HOME: {self.home.root} is no node of another machine's cluster")
        with file_lock(self.home.lock, waiting=lambda: self._say("another landlord command works on this home")):
            ended = end_processes(self.home.id, self.home.ray)
            self.home.state.unlink(missing_ok=True)
            self.home.clear_runtime()
            return ended

    def _check(self) -> None:
        if not self.home.ray_token.exists():
            raise SettingsError(
                f"{self.home.ray_token} is missing: `landlord node invite {self._settings.node_address}` on the head "
                "writes an invitation, and --invitation takes it"
            )
        if self._settings.nodes_tls:
            NodeCertificates(self.home.nodes).require(self._settings.node_address)

    def _start(self, cluster: Joining, before: RunState | None) -> bool:
        url = self._settings.database_url
        assert url is not None, "a setting that another one asks for"
        settings_env = settings_environment(self._settings, url.get_secret_value(), self._environ)
        build, port = build_id(), self._settings.port
        ports = before.ports if before is not None else derive_ports(port)
        ray = self._ray(cluster, RayNode(self.home, ports, node_name(self._settings)))
        mark = fingerprint({**ray, **settings_env}, sys.executable, version("ray"), cluster.cluster_id, build)
        node = RayNode(self.home, ports, node_name(self._settings), self._settings.node_address, cluster.gcs)
        if before is not None and before.fingerprint == mark and node.trouble() is None:
            try:
                self._application.await_ready(SETTLED_SECONDS, self._say)
                return False
            except Unavailable as error:
                self._say(str(error))
        ended = end_processes(self.home.id, self.home.ray)
        if ended:
            self._say(f"ended {ended} processes of an earlier start")
        if not is_free(port):
            raise SettingsError(f"LANDLORD_PORT: {port} is in use; it is the same on each machine of a cluster")
        compute = resolve(settings_env, self._environ)
        state = RunState(build, mark, cluster.cluster_id, ports, compute, cluster.gcs)
        state.write(self.home.state)
        environment = server_environment(
            settings={**settings_env, "LANDLORD_COMPUTE_PROVIDERS": compute},
            ray=ray,
            home_id=self.home.id,
            cluster_id=cluster.cluster_id,
            environ=self._environ,
        )
        self._say("starting Ray")
        node.start_patiently(environment, self.home.logs / "ray.log", self._say)
        # The supervisor, at its next sweep, has the API start here too.
        self._application.await_ready(READY_SECONDS + 2 * self._settings.sweep_seconds, self._say)
        return True

    def _ray(self, cluster: Joining, node: RayNode) -> dict[str, str]:
        of_node = node_environment(self.home, self._settings, cluster.gcs)
        waits = head_store.waiting(self._environ) if cluster.stored else {}
        return of_node | waits | ray_environment(self.home, node.ports, node.haproxy)
