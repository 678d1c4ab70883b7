"""Redis as the store of the head: with it, a cluster of several machines outlives its head.

Without it, what Ray knows of a cluster is in the memory of one process of the head. With it, a head that is started
again finds its cluster there, and the other machines, which wait for it, go on.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from controlplane.errors import SettingsError, Unavailable

SETTING = "LANDLORD_RAY_REDIS"
ANSWER_SECONDS = 5.0
PLAIN, TLS = "redis", "rediss"
PAGE = "1000"
WAIT_SECONDS = "3600"
"""So long the machines of a cluster wait for their head, and then end what Ray runs on them. Ray's own default is a
minute."""
WAITING = "RAY_gcs_rpc_server_reconnect_timeout_s"
AUTHORITIES = "RAY_REDIS_CA_CERT"
USERNAME, PASSWORD = "LANDLORD_INTERNAL_REDIS_USERNAME", "LANDLORD_INTERNAL_REDIS_PASSWORD"
"""Taken out of the environment by the process that starts Ray (`actors.ray_start`)."""


def waiting(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of each machine of a cluster that outlives its head."""
    return {WAITING: environ.get(WAITING, WAIT_SECONDS)}


@dataclass(frozen=True)
class HeadStore:
    """A Redis that clusters keep their state in, each under a name of its own. Each method that asks it raises
    Unavailable."""

    host: str
    port: int
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> "HeadStore":
        """Raises SettingsError unless it is `[redis[s]://][user:password@]host:port`."""
        try:
            parts = urlsplit(url if "://" in url else f"{PLAIN}://{url}")
            if parts.scheme in (PLAIN, TLS) and parts.hostname and parts.port and not parts.path.strip("/"):
                username, password = unquote(parts.username or ""), unquote(parts.password or "")
                return cls(parts.hostname, parts.port, parts.scheme == TLS, username, password)
        except ValueError:
            pass
        raise SettingsError(f"{SETTING}: is redis://[user:password@]host:port, or rediss:// for TLS")

    def environment(self, cluster_id: str, environ: Mapping[str, str]) -> dict[str, str]:
        """What the start of this cluster's head needs. `environ`: that of the command."""
        found = {
            "RAY_REDIS_ADDRESS": f"{TLS if self.tls else PLAIN}://{self.host}:{self.port}",
            "RAY_external_storage_namespace": _name(cluster_id),
        }
        if self.tls:
            found |= _authorities(environ)
        credentials = {USERNAME: self.username, PASSWORD: self.password}
        return found | {name: value for name, value in credentials.items() if value}

    def holds(self, cluster_id: str, environ: Mapping[str, str]) -> bool:
        """Whether it has this cluster."""
        with self._connected(environ) as ask:
            return bool(_found(ask, cluster_id))

    def forget(self, cluster_id: str, environ: Mapping[str, str]) -> None:
        """Remove what it has of this cluster."""
        with self._connected(environ) as ask:
            if keys := _found(ask, cluster_id):
                ask("UNLINK", *keys)

    @contextlib.contextmanager
    def _connected(self, environ: Mapping[str, str]) -> Iterator["_Ask"]:
        try:
            with contextlib.ExitStack() as left:
                stream = left.enter_context(socket.create_connection((self.host, self.port), ANSWER_SECONDS))
                if self.tls:
                    trusted = ssl.create_default_context(cafile=environ.get(AUTHORITIES))
                    stream = left.enter_context(trusted.wrap_socket(stream, server_hostname=self.host))
                ask = _Ask(stream, left.enter_context(stream.makefile("rb")))
                if self.password:
                    ask("AUTH", *([self.username] if self.username else []), self.password)
                yield ask
        except (OSError, ValueError) as error:
            raise Unavailable(f"{SETTING}: the Redis at {self.host}:{self.port} does not serve: {error}") from None


@dataclass(frozen=True)
class _Ask:
    """One command and its answer, in Redis' own protocol (RESP2). Raises ValueError if Redis refuses it."""

    stream: socket.socket
    answers: BinaryIO

    def __call__(self, *words: str) -> Any:
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self.stream.sendall(b"".join(parts))
        return self._answer()

    def _answer(self) -> Any:
        line = self.answers.readline()
        kind, rest = line[:1], line[1:].decode().strip()
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if kind == b"$":
            return self.answers.read(int(rest) + 2)[:-2].decode()
        if kind not in (b"+", b":"):
            raise ValueError(rest or "it ended the connection")
        return rest


def _authorities(environ: Mapping[str, str]) -> dict[str, str]:
    """Ray trusts nobody by itself: the file of the environment, or what this machine trusts."""
    usual = ssl.get_default_verify_paths()
    given = environ.get(AUTHORITIES)
    found = {AUTHORITIES: given or usual.cafile, "RAY_REDIS_CA_PATH": None if given else usual.capath}
    return {name: path for name, path in found.items() if path}


def _name(cluster_id: str) -> str:
    return f"landlord-{cluster_id}"


def _found(ask: _Ask, cluster_id: str) -> Sequence[str]:
    """Its keys. Ray has one for each kind of thing, and all of that kind in it."""
    cursor, keys = "0", []
    while True:
        cursor, page = ask("SCAN", cursor, "MATCH", f"RAY{_name(cluster_id)}@*", "COUNT", PAGE)
        keys += page
        if cursor == "0":
            return keys
