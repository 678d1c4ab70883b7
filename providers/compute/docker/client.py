"""The SDK's client as Landlord has it: connections of our own, and none through a proxy."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from controlplane.errors import Unavailable
from providers.compute.docker import dialect, ssh
from providers.compute.docker.address import EngineAddress
from providers.compute.docker.belongings import explanation
from providers.compute.docker.dialled import BASE_URL, SCHEME, DialledAdapter, UnixConnection


class EngineClient(docker.APIClient):
    """The SDK's client, at the version of the engine. It uses no proxy from the environment.

    The SDK's pull has no time-out of its own: a registry that stalls would hold its thread for ever."""

    def __init__(self, address: EngineAddress, timeout: int, connections: int, silence: float) -> None:
        """`silence`: seconds, of a call without a time-out."""
        self._connections_made = 0
        """To a local socket."""
        self._known: tuple[int, str] | None = None
        """The identity, and how many connections had been made when it was asked for."""
        dial: Callable[[], HTTPConnection] | None = None
        if address.scheme == "ssh":
            dial = partial(ssh.SshConnection, address.url, timeout)
        elif address.scheme == "unix":
            dial = partial(UnixConnection, urlsplit(address.url).path, timeout, self._made)
        super().__init__(
            base_url=address.url if dial is None else None,
            # Replaced below: the SDK asks for the engine's own before its connections are ours.
            version=DEFAULT_DOCKER_API_VERSION,
            timeout=timeout,
            tls=address.tls or False,
        )
        self.trust_env = False
        self._silence = silence
        if dial is None:
            self.mount(self.base_url, HTTPAdapter(pool_maxsize=connections))
        else:
            self.mount(SCHEME, DialledAdapter(dial, connections))
            self.base_url = BASE_URL
        try:
            self._version = self._spoken()
        except APIError as error:
            raise DockerException(explanation(error)) from None
        except (KeyError, TypeError, ValueError):
            raise DockerException("what answers at its address is no Docker Engine") from None

    def _spoken(self) -> str:
        """The newest version of the API that the engine speaks. A ping says it; to ask for all versions starts two
        programs on the engine's machine."""
        pinged = self.get(f"{self.base_url}/_ping", timeout=self.timeout)
        told = pinged.headers.get("Api-Version") if pinged.ok else None
        return told or str(self.version(api_version=False)["ApiVersion"])

    def _made(self) -> None:
        self._connections_made += 1

    def identity(self) -> str:
        """Of the engine. To ask for it starts two programs on the engine's machine. On a local socket a connection
        leads to one engine as long as it lasts, so a ping does, unless it made another connection: another engine may
        be there by then."""
        if self._known is not None and self._connections_made:
            self.ping()
        made = self._connections_made
        if self._known is None or self._known[0] != made or made == 0:
            self._known = (made, dialect.identity(self))
        return self._known[1]

    @property
    def _general_configs(self) -> dict[str, Any]:
        return self._proxies

    @_general_configs.setter
    def _general_configs(self, found: dict[str, Any]) -> None:
        """Of docker's configuration only the proxies are taken: logins are read at each pull (`login`), and one that
        cannot be read must not end every other call."""
        self._proxies = {"proxies": found.get("proxies", {})}

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if options.get("timeout") is None:
            options["timeout"] = self._silence
        return super().send(request, **options)


def reason(error: Exception) -> str:
    """In one line. The SDK's text on a certificate is a whole request."""
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text:
        cause = re.search(r"certificate verify failed: ([^(]+)", text)
        told = cause[1].strip() if cause else "not trusted"
        return f"its certificate is refused ({told}): ca.pem must be of the authority that signed it, for this host"
    return text


def knock(path: str, timeout: float) -> None:
    """Raises Unavailable if no process listens on the local socket, without naming it."""
    knocking = UnixConnection(path, timeout)
    try:
        knocking.connect()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unavailable(f"Docker Engine does not answer on its local socket: {reason}") from None
    finally:
        knocking.close()
