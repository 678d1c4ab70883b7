"""HTTP to a Docker Engine on another machine, through the ssh program, as the docker command does it.

Each connection is one `ssh HOST docker system dial-stdio`. So keys, known hosts, aliases and jump hosts are those of
`~/.ssh/config`. Nothing is ever asked: an unknown host or a key with a passphrase is a refusal. (The SDK's own way
needs another implementation of ssh, which reads only parts of that file.)
"""

import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from controlplane.errors import Unavailable

CONNECT_SECONDS = 15
END_SECONDS = 5.0
"""Time for an ssh that was told to end, and for its last words."""
OPTIONS = (
    "-T",
    "-o", "BatchMode=yes",
    "-o", f"ConnectTimeout={CONNECT_SECONDS}",
    "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=3",
)  # fmt: skip


def command(url: str) -> list[str]:
    """The command that connects its standard input and output with the Docker Engine of `ssh://[USER@]HOST[:PORT]`."""
    return ["ssh", *OPTIONS, *_target(url), "docker", "system", "dial-stdio"]


def host_of(url: str) -> str:
    """The machine's own name or address: the host of a URL may be an alias of `~/.ssh/config`. Asks ssh; makes no
    connection."""
    try:
        told = subprocess.run(["ssh", "-G", *_target(url)], capture_output=True, text=True, timeout=END_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        raise Unavailable("DOCKER_HOST says ssh, but the ssh program does not run here; install it") from None
    found = dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)
    return found.get("hostname") or str(urlsplit(url).hostname)


def _target(url: str) -> list[str]:
    parts = urlsplit(url)
    user = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    return [*user, *port, "--", str(parts.hostname)]


class SshConnection(HTTPConnection):
    """One ssh to the engine at this URL. What it says before it ends is the reason of the failure."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._words = command(url)
        self._ssh: subprocess.Popen[bytes] | None = None
        self._last_words = ""

    def connect(self) -> None:
        ours, its = socket.socketpair()
        with its:
            try:
                self._ssh = subprocess.Popen(
                    self._words, stdin=its.fileno(), stdout=its.fileno(), stderr=subprocess.PIPE
                )
            except OSError as error:
                ours.close()
                raise OSError(f"the ssh program does not run here: {error.strerror}") from None
        ours.settimeout(self.timeout)
        self.sock = ours

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise self._explained(error) from None

    def request(self, *arguments: Any, **options: Any) -> None:
        try:
            super().request(*arguments, **options)
        except ConnectionError as error:
            raise self._explained(error) from None

    def close(self) -> None:
        """Also called by the layer above when the connection broke, before it raises."""
        super().close()
        if self._ssh is None:
            return
        self._ssh.terminate()
        try:
            _, said = self._ssh.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._ssh.kill()
            _, said = self._ssh.communicate()
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        self._ssh, self._last_words = None, lines[-1] if lines else ""

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            return error
        self.close()
        return ConnectionError(f"ssh: {self._last_words}") if self._last_words else error
