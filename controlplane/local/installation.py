"""The processes of one home on this machine: `up` starts them, `down` ends them, `components` lists them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Protocol

import psutil

from controlplane.errors import SettingsError, Unavailable
from controlplane.local import admin_token, front, head_store
from controlplane.local.application import READY_SECONDS, RENEWED_SECONDS, SETTLED_SECONDS, Application
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
from controlplane.local.head import HOST, RayNode, accepts
from controlplane.local.head_store import HeadStore
from controlplane.local.lock import file_lock
from controlplane.local.node import node_name
from controlplane.local.paths import Home
from controlplane.local.ports import Ports, derive_ports, is_free
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.local.processes import end_processes, find_processes, name_of
from controlplane.local.providers import resolve
from controlplane.local.state import RunState
from controlplane.settings import Settings


class Bootstrap(Protocol):
    """The preparation of the database before anything runs; the caller implements it (see
    `controlplane.persistence.bootstrap`)."""

    def register(
        self,
        database_url: str,
        *,
        owner_url: str | None,
        home: str,
        before: str | None,
        build: str,
        admin_token: str,
    ) -> str:
        """Migrate, end this home's earlier clusters, register a new one. `owner_url`: as for `migrate`; `home`: its
        identity; `before`: the id of the cluster that its last `up` registered. Returns the new one's id."""
        ...

    def announce(
        self, database_url: str, cluster_id: str, *, build: str, address: str, port: int, gcs: int, stored: bool
    ) -> None:
        """Say to other machines which code runs, and where the head is: the address, and the ports of its API and its
        GCS. `stored`: they are to wait for it, should it be lost."""
        ...

    def has_ended(self, database_url: str, cluster_id: str) -> bool:
        """Whether another machine has taken that cluster's tenants over, or nobody knows it."""
        ...

    def migrate(self, database_url: str, *, owner_url: str | None) -> None:
        """Only migrate; the cluster stays. `owner_url`: the same database as the owner of its tables; None: what runs
        is the owner."""
        ...

    def admit(self, database_url: str, *, home: str, before: str | None, admin_token: str) -> None:
        """Make this the home's admin token from now on; nothing restarts."""
        ...


@dataclass(frozen=True)
class Component:
    """One row of `landlord status`. If it is not up, `detail` says why."""

    name: str
    up: bool
    address: str
    pid: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class UpResult:
    """The result of `up`. `fresh`: something was started or deployed; else everything ran already."""

    state: RunState
    fresh: bool


class Installation:
    """One home on this machine. `up` and `down` exclude each other through a file lock.

    Whatever was killed, in whatever order, `up` works. If the head is not healthy, `up` ends every process with this
    home's id and starts again: the same cluster if a store outside has it, else another one. Rows are the truth, and a
    lost cluster is an ordinary event. Tenants' compute and the embedded Postgres do not have that id.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        """`say` receives lines of progress."""
        self._settings = settings
        self._environ = environ
        self._say = say
        self.home = Home(settings.home)
        self._application = Application(settings.own_url, self.home.tls if settings.tls else None)
        redis = settings.ray_redis
        self._store = None if redis is None else HeadStore.of(redis.get_secret_value())

    def up(self, bootstrap: Bootstrap) -> UpResult:
        """Start or repair everything. Returns once `/readyz` is 200. Raises SettingsError, Unavailable,
        SchemaTooNew."""
        self.home.ensure()
        forbid_core_dumps()
        with file_lock(self.home.lock, waiting=lambda: self._say("another landlord command works on this home")):
            url, owner_url = self._database()
            token = admin_token.choose(self._settings, self.home, self._say)
            state = RunState.read(self.home.state)
            if state is not None and state.head is not None:
                raise SettingsError(
                    f"LANDLORD_HOME: this home joined the cluster at {state.head}; `landlord node join` repairs it, "
                    "and after `landlord node leave` it may have a control plane of its own"
                )
            if self._settings.nodes_tls:
                NodeCertificates(self.home.nodes).prepare_head(self._settings.node_address)
            front.prepare(self.home, self._settings)
            settings_env = settings_environment(self._settings, url, self._environ)
            stored = self._stored(state)
            if state is not None and self._unchanged(state, settings_env):
                try:
                    return self._renew(state, settings_env, url, owner_url, token, bootstrap)
                except Unavailable as error:
                    self._say(f"starting {'the head again' if stored else 'anew'}: {error}")
                if stored:
                    try:
                        return self._resume(state, settings_env, url, owner_url, token, bootstrap)
                    except Unavailable as error:
                        self._say(f"starting anew: {error}")
            return self._start(settings_env, url, owner_url, token, bootstrap, state)

    def down(self) -> int:
        """End everything but tenants' compute. Returns the number of ended processes; zero is success."""
        if not self.home.root.is_dir():
            return 0
        with file_lock(self.home.lock, waiting=lambda: self._say("another landlord command works on this home")):
            ended = end_processes(self.home.id, self.home.ray)
            self._forget(RunState.read(self.home.state))
            postgres = self.postgres
            if postgres.pid is not None:
                self._say("stopping Postgres")
                postgres.stop()
                ended += 1
            self.home.state.unlink(missing_ok=True)
            self.home.clear_runtime()
            return ended

    @property
    def postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.home.postgres, self.home.sockets, self.home.logs / "postgres.log")

    def components(self) -> list[Component]:
        """The components, and where each runs, now."""
        state = RunState.read(self.home.state)
        pids = {name_of(process): process.pid for process in find_processes(self.home.id, self.home.ray)}
        trouble = self._application.trouble()
        rows = [Component("api", trouble is None, self._application.url, pids.get("haproxy"), trouble or "")]
        if state is not None:
            ray = self._head(state.ports, state.head)
            wrong, gcs = ray.trouble(), state.head or f"{ray.address}:{state.ports.gcs}"
            kind = "ray head" if state.head is None else "ray node"
            rows.append(Component(kind, wrong is None, gcs, pids.get("raylet"), wrong or ""))
        if state is not None and state.head is None:
            rows += [
                _listening("dashboard", state.ports.dashboard, f"http://{HOST}:{state.ports.dashboard}"),
                _listening("ray client", state.ports.client, f"ray://{HOST}:{state.ports.client}"),
            ]
        if self._settings.database_url is None:
            postgres = self.postgres
            rows.append(Component("postgres", postgres.running, str(self.home.sockets), postgres.pid))
        return rows

    def _database(self) -> tuple[str, str | None]:
        """Its URL for what runs, and for the owner of the tables (None: the same role)."""
        if self._settings.database_url is not None:
            owner = self._settings.database_owner_url
            owner_url = None if owner is None else owner.get_secret_value()
            return self._settings.database_url.get_secret_value(), owner_url
        postgres = self.postgres
        if not postgres.running:
            self._say("starting Postgres")
        postgres.start()
        return postgres.running_url, postgres.url

    def _unchanged(self, state: RunState, settings_env: Mapping[str, str]) -> bool:
        """True if nothing has changed that the head was started with."""
        found = self._fingerprint(settings_env, state.ports)
        if state.fingerprint == found and state.ports.http == self._settings.port:
            return True
        self._say("the settings have changed")
        return False

    def _stored(self, state: RunState | None) -> bool:
        """True if the store has the cluster of the last start. Raises Unavailable if the store does not answer."""
        return self._store is not None and self._store.holds("" if state is None else state.cluster_id, self._environ)

    def _forget(self, ended: RunState | None) -> None:
        """Remove an ended cluster from the store. What cannot be removed now is of no harm: nobody asks for it."""
        if self._store is not None and ended is not None:
            try:
                self._store.forget(ended.cluster_id, self._environ)
            except Unavailable as error:
                self._say(str(error))

    def _renew(
        self,
        state: RunState,
        settings_env: Mapping[str, str],
        url: str,
        owner_url: str | None,
        token: str,
        bootstrap: Bootstrap,
    ) -> UpResult:
        """Keep the running head. If the application is ours and ready, do nothing; else deploy it again. Raises
        Unavailable if the head is not healthy."""
        if (trouble := self._head(state.ports).trouble()) is not None:
            raise Unavailable(trouble)
        renewed = self._prepare(state, url, owner_url, token, bootstrap)
        if self._settings.tls and front.renew(self.home, self._settings.port):
            self._say("the API shows another certificate")
        if renewed.build == state.build:
            try:
                self._application.await_ready(SETTLED_SECONDS, self._say)
                return UpResult(state, fresh=False)
            except Unavailable as error:
                self._say(str(error))
        else:
            self._head(state.ports).renew_workers()
        self._deploy(renewed, settings_env, RENEWED_SECONDS)
        self._announce(renewed, url, bootstrap)
        return UpResult(renewed, fresh=True)

    def _resume(
        self,
        state: RunState,
        settings_env: Mapping[str, str],
        url: str,
        owner_url: str | None,
        token: str,
        bootstrap: Bootstrap,
    ) -> UpResult:
        """Start the head again; its cluster, whose other machines wait for it, goes on."""
        if bootstrap.has_ended(url, state.cluster_id):
            raise Unavailable("another machine has taken this cluster's tenants over")
        ended = end_processes(self.home.id, self.home.ray)
        if ended:
            self._say(f"ended {ended} processes of the earlier start")
        resumed = self._prepare(state, url, owner_url, token, bootstrap)
        self._start_ray(resumed, settings_env)
        self._deploy(resumed, settings_env, READY_SECONDS)
        self._announce(resumed, url, bootstrap)
        return UpResult(resumed, fresh=True)

    def _start(
        self,
        settings_env: Mapping[str, str],
        url: str,
        owner_url: str | None,
        token: str,
        bootstrap: Bootstrap,
        before: RunState | None,
    ) -> UpResult:
        ended = end_processes(self.home.id, self.home.ray)
        if ended:
            self._say(f"ended {ended} processes of an earlier start")
        port = self._settings.port
        if not is_free(port):
            raise SettingsError(f"LANDLORD_PORT: {port} is in use by {_listener(port)}; set LANDLORD_PORT to another")
        compute = self._compute_providers(settings_env, before)
        self._forget(before)
        build = build_id()
        last = None if before is None else before.cluster_id
        cluster_id = bootstrap.register(
            url, owner_url=owner_url, home=self.home.identity, before=last, build=build, admin_token=token
        )
        admin_token.keep(self.home, token)
        ports = derive_ports(port)
        fingerprint = self._fingerprint(settings_env, ports)
        state = RunState(build, fingerprint, cluster_id, ports, compute)
        state.write(self.home.state)
        self._start_ray(state, settings_env)
        self._deploy(state, settings_env, READY_SECONDS)
        self._announce(state, url, bootstrap)
        return UpResult(state, fresh=True)

    def _prepare(self, state: RunState, url: str, owner_url: str | None, token: str, bootstrap: Bootstrap) -> RunState:
        """Make the database fit for the code of now, and the token the home's. Returns what that code's run is."""
        build = build_id()
        if build != state.build:
            bootstrap.migrate(url, owner_url=owner_url)
        self._admit(state, url, token, bootstrap)
        return replace(state, build=build)

    def _start_ray(self, state: RunState, settings_env: Mapping[str, str]) -> None:
        self._say("starting Ray")
        stored = {} if self._store is None else self._store.environment(state.cluster_id, self._environ)
        environment = self._environment(state, settings_env) | stored
        self._head(state.ports).start_patiently(environment, self.home.logs / "ray.log", self._say)

    def _announce(self, state: RunState, url: str, bootstrap: Bootstrap) -> None:
        if not self._settings.alone:
            address, ports = self._settings.node_address, state.ports
            bootstrap.announce(
                url,
                state.cluster_id,
                build=state.build,
                address=address,
                port=ports.http,
                gcs=ports.gcs,
                stored=self._store is not None,
            )

    def _admit(self, state: RunState, url: str, token: str, bootstrap: Bootstrap) -> None:
        """Write the file after the database, so it never holds a token that was refused there."""
        bootstrap.admit(url, home=self.home.identity, before=state.cluster_id, admin_token=token)
        admin_token.keep(self.home, token)

    def _compute_providers(self, settings_env: Mapping[str, str], before: RunState | None) -> str:
        """The compute providers of the setting. Without the setting, those of the last start (until `down`), else those
        available now.

        Raises SettingsError for an unknown one, and for one that may not run under these settings."""
        kept: dict[str, str] = {}
        if before is not None and self._settings.compute_providers is None:
            kept = {"LANDLORD_COMPUTE_PROVIDERS": before.compute_providers}
        return resolve({**settings_env, **kept}, self._environ)

    def _deploy(self, state: RunState, settings_env: Mapping[str, str], seconds: float) -> None:
        self._say("deploying the application")
        environment = self._environment(state, settings_env)
        self._application.deploy(environment, cwd=self.home.ray, log=self.home.logs / "deploy.log")
        self._application.await_ready(seconds, self._say)
        state.write(self.home.state)

    def _environment(self, state: RunState, settings_env: Mapping[str, str]) -> dict[str, str]:
        return server_environment(
            settings={**settings_env, "LANDLORD_COMPUTE_PROVIDERS": state.compute_providers},
            ray=self._ray(state.ports),
            home_id=self.home.id,
            cluster_id=state.cluster_id,
            environ=self._environ,
        )

    def _head(self, ports: Ports, joins: str | None = None) -> RayNode:
        return RayNode(self.home, ports, node_name(self._settings), self._settings.node_address, joins)

    def _ray(self, ports: Ports) -> dict[str, str]:
        gcs = f"{self._settings.node_address}:{ports.gcs}"
        of_node = node_environment(self.home, self._settings, gcs)
        waits = {} if self._store is None else head_store.waiting(self._environ)
        return of_node | waits | ray_environment(self.home, ports, self._head(ports).haproxy)

    def _fingerprint(self, settings_env: Mapping[str, str], ports: Ports) -> str:
        """Hash of everything that running processes inherited at start; if it changes, the head must restart."""
        redis = self._settings.ray_redis
        store = [] if redis is None else [redis.get_secret_value()]
        return fingerprint({**self._ray(ports), **settings_env}, sys.executable, version("ray"), *store)


def _listening(name: str, port: int, address: str) -> Component:
    return Component(name, accepts(port), address, _pid_on(port))


def _pid_on(port: int) -> int | None:
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
            return connection.pid
    return None


def _listener(port: int) -> str:
    pid = _pid_on(port)
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid is not None else "another process"
    except psutil.Error:
        return "another process"
