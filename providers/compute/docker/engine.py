"""The Docker Engine, by blocking calls of the `docker` SDK (`client` and `address` import it too).

Every call raises Unavailable if Docker Engine does not answer or fails itself, and Retryable for a refusal without a
meaning of its own. Values of the tenant's environment are removed from its texts before they become errors.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound

from controlplane.errors import Unavailable
from controlplane.model.masking import hidden_values
from controlplane.ports import DesiredResource, LogPart
from providers.compute.docker import belongings, commands, dialect, entries, images, ssh
from providers.compute.docker.address import EngineAddress
from providers.compute.docker.belongings import explanation
from providers.compute.docker.client import EngineClient, knock, reason
from providers.compute.docker.config import OWN, DockerConfig
from providers.compute.docker.container import creation_body, environment, grace, shared_name
from providers.compute.docker.images import Logins
from providers.compute.docker.reach import HERE, Reach
from providers.compute.docker.refusals import refused, refused_creation, refused_start
from providers.compute.docker.subnets import SubnetPool
from providers.kit.commands import Running
from providers.kit.tails import last_bytes, last_lines

GRACE_SECONDS = 10
"""Time between the stop signal and the kill, for a container without a time of its own."""
LOG_BYTES = 4 * 1024 * 1024
"""The most of a container's output that is read at once, from its end."""
LOG_SECONDS = 10.0
OTHER_VERSION = re.compile(r"client version \S+ is too (?:old|new)")
"""Docker Engine's words for a version of its API that it does not speak, or no longer."""
UNREADABLE = "does not support reading"
"""Docker Engine's words for a log driver that keeps nothing here."""
SETTLE_SECONDS = 10.0
"""Time for the work of others to finish: a create of the same name, a removal."""
PULL_SECONDS = 600.0
"""Time for one pull."""
SILENCE_SECONDS = 60.0
"""A pull ends if nothing more comes for this time. While layers come, Docker Engine tells of them all the time."""


class DockerEngine:
    """Docker Engine, found as the docker command finds it (see `address`), at the first call. Thread-safe.

    It may be replaced by another release at any time: if it speaks another version of its API, or after its
    connections broke, the next call asks for the version again.

    `timeout`: seconds for one request. It bounds every call but `pull`, which has `pull_seconds` in all, and
    SILENCE_SECONDS of silence at most. If it does not answer, all callers share one attempt to connect. `subnets`: for
    the networks of tenants. `ports_at`: where published ports are reached, if the engine's address does not say so."""

    def __init__(
        self,
        *,
        timeout: int,
        connections: int,
        pull_seconds: float = PULL_SECONDS,
        subnets: SubnetPool | None = None,
        ports_at: str | None = None,
    ) -> None:
        self.reach = HERE if ports_at is None else Reach(ports_at)
        """Where published ports are reached. Known after the first call."""
        self._ports_at = ports_at
        self._subnets = subnets or SubnetPool(())
        self._timeout = timeout
        self._connections = connections
        self._pull_seconds = pull_seconds
        self._silence = min(SILENCE_SECONDS, pull_seconds)
        self._lock = threading.Lock()
        self._connecting: Future[EngineClient] | None = None
        self._api: EngineClient | None = None

    def ping(self) -> None:
        with self._speaking() as api:
            api.ping()

    def identity(self) -> str:
        with self._speaking() as api:
            return api.identity()

    def inspect(self, name_or_id: str) -> Mapping[str, Any] | None:
        """A container's inspection. None: there is no such container."""
        with self._speaking() as api:
            return _inspect(api, name_or_id)

    def last_line(self, container: str) -> str:
        """The last non-empty line of the container's output."""
        lines = [line for line in self.logs(container, 5).splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""

    def logs(self, container: str, tail: int) -> str:
        """The last lines, of at most LOG_BYTES. None of a container whose output is kept elsewhere, or nowhere."""
        return self._text(lambda api: entries.read(api, container, tail=tail))

    def logs_after(self, container: str, position: str | None, tail: int) -> LogPart:
        """What came after a position, of at most LOG_BYTES; without one, the last lines."""
        follower = entries.Follower(position, tail)
        text = self._text(lambda api: follower.read(api, container))
        return LogPart(last_lines(text, tail) if follower.begins else text, follower.position)

    def _text(self, read: Callable[[docker.APIClient], Iterator[bytes]]) -> str:
        with self._speaking() as api:
            try:
                return last_bytes(read(api), LOG_BYTES, LOG_SECONDS).decode(errors="replace")
            except NotFound:
                return ""
            except APIError as error:
                if UNREADABLE not in explanation(error):
                    raise
                return ""

    def run(self, container: str, command: Sequence[str], running: Running) -> int | None:
        """Run a command in a container that runs. None: it has not ended."""
        with self._speaking() as api:
            return commands.run(api, container, command, running)

    def containers(self, labels: Sequence[str]) -> list[Mapping[str, Any]]:
        """All containers with the labels, running or not, in one call."""
        with self._speaking() as api:
            return dialect.containers(api, labels)

    def provide_image(self, config: DockerConfig, logins: Logins, *, fresh: bool) -> None:
        """Have the image here. It may be asked for twice, and by several at once: Docker Engine pulls once. `logins` is
        asked if it has to be pulled. Raises InvalidConfig if it keeps data in a volume that the config does not name.

        `fresh`: pull it even if it is here, unless it was built here: no registry knows such an image."""
        with self._speaking() as api:
            images.provide(api, config, logins, fresh=fresh, seconds=self._pull_seconds, silence=self._silence)

    def create(self, config: DockerConfig, desired: DesiredResource) -> str | None:
        """The id of a new container, not started. Volumes and network come first. None: the name is taken."""
        origin = desired.origin
        with self._speaking() as api:
            for volume in config.volumes:
                if not volume.of_host:
                    belongings.provide_volume(api, shared_name(origin, volume.source), origin)
            network = belongings.provide_network(api, self._subnets, origin) if config.network in OWN else None
            if config.network not in OWN:
                belongings.check_network(api, str(config.network), origin)
            body = creation_body(config, origin, network, desired.health)
            deadline = time.monotonic() + SETTLE_SECONDS
            while True:
                try:
                    made = api.create_container_from_config(body, origin.name)  # type: ignore[no-untyped-call]
                except APIError as error:
                    if not dialect.name_taken(error, explanation(error)):
                        hidden = [*map(str, config.env.values()), *hidden_values({"log_options": config.log_options})]
                        raise refused_creation(config.image, _code(error), explanation(error), hidden) from None
                else:
                    return str(made["Id"])
                if _inspect(api, origin.name) is not None:
                    return None
                # A name is taken before its container is visible, and free again if that create fails.
                if time.monotonic() > deadline:
                    raise Unavailable(f"the name {origin.name} is taken, but no such container is visible", code=409)
                time.sleep(0.05)

    def start(self, container: str) -> None:
        """Start a container, also a paused one. Missing is no error: the next observation shows it."""
        with self._speaking() as api:
            try:
                api.start(container)
            except APIError as error:
                details = _inspect(api, container)
                if details is None:
                    return
                if details["State"]["Paused"]:
                    api.unpause(container)
                    return
                if details["State"]["Running"]:
                    return  # somebody else started it at the same moment
                made_of = details["Config"]
                words = [*(made_of["Entrypoint"] or ()), *(made_of["Cmd"] or ())]
                text, hidden = explanation(error), environment(details)
                raise refused_start(made_of["Image"], words, _code(error), text, hidden) from None

    def stop(self, container: str) -> None:
        """By its stop signal, and by force after its time. Takes that time at most, and one request's time-out."""
        with self._speaking() as api:
            details = _inspect(api, container)
            if details is None:
                return
            own = grace(details)
            try:
                api.stop(container, timeout=GRACE_SECONDS if own is None else own)
            except NotFound:
                return

    def destroy(self, container: str) -> None:
        """Remove a container, with anonymous volumes that it has from an earlier release. Returns once it is gone. One
        that still runs is killed."""
        with self._speaking() as api:
            try:
                api.remove_container(container, v=True, force=True)
            except NotFound:
                return
            except APIError as error:
                if _code(error) != 409:
                    raise
                _await_gone(api, container)

    def forget(self, labels: Sequence[str]) -> None:
        """Remove the networks and volumes with the labels. Raises HeldByOthers."""
        with self._speaking() as api:
            belongings.forget(api, labels)

    def belongings(self, labels: Sequence[str]) -> list[Mapping[str, str]]:
        """All labels of the networks and volumes that have these labels."""
        with self._speaking() as api:
            return belongings.labels_of_all(api, labels)

    def close(self) -> None:
        if self._api is not None:
            self._api.close()

    @contextmanager
    def _speaking(self) -> Iterator[EngineClient]:
        api = None
        try:
            api = self._connected()
            yield api
        except APIError as error:
            text = explanation(error)
            if OTHER_VERSION.search(text):
                self._let_go(api)
                raise Unavailable(f"Docker Engine was replaced meanwhile: {text}", code=_code(error)) from None
            raise refused(_code(error), text) from None
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if isinstance(error, requests.ConnectionError):
                self._let_go(api)
            raise Unavailable(f"Docker Engine does not answer: {reason(error)}") from None

    def _let_go(self, api: EngineClient | None) -> None:
        """The next call connects anew. Calls that run keep their connections to their end."""
        with self._lock:
            if api is None or self._api is not api:
                return
            self._api = None
        api.close()

    def _connected(self) -> EngineClient:
        """Whoever comes while another caller connects shares that attempt and its end."""
        with self._lock:
            if self._api is not None:
                return self._api
            attempt, mine = self._connecting, Future[EngineClient]()
            if attempt is None:
                self._connecting = mine
        if attempt is not None:
            return attempt.result()
        try:
            api = self._connect()
        except BaseException as error:
            self._connecting = None
            mine.set_exception(error)
            raise
        self._api, self._connecting = api, None
        mine.set_result(api)
        return api

    def _connect(self) -> EngineClient:
        address = EngineAddress.find()
        if self._ports_at is None:
            self.reach = Reach(ssh.host_of(address.url)) if address.scheme == "ssh" else address.reach
        if address.scheme == "unix":
            knock(urlsplit(address.url).path, self._timeout)
        return EngineClient(address, self._timeout, self._connections, self._silence)


def _inspect(api: docker.APIClient, name_or_id: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = api.inspect_container(name_or_id)
    except NotFound:
        return None
    return found


def _await_gone(api: docker.APIClient, container: str) -> None:
    """Poll: Docker Engine has no call that waits for a running removal."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while _inspect(api, container) is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"container {container[:12]} is still being removed")
        time.sleep(0.1)


def _code(error: APIError) -> int:
    return error.status_code or 0
