"""Which Docker Engine to talk to, found as the docker command finds it, and where its containers' ports are reached.

In this order: `DOCKER_HOST`; the context that `DOCKER_CONTEXT` names; the current context of the docker command's own
configuration; the machine's socket; that of a rootless engine of the same user.
"""

import hashlib
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from docker.tls import TLSConfig

from controlplane.errors import Unavailable
from providers.compute.docker.reach import HERE, Reach

SOCKET = "/var/run/docker.sock"
CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
"""What a directory of certificates holds: the authority of the engine's, and the client's own with its key."""
SCHEMES = ("unix", "tcp", "http", "https", "ssh")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """`url`: as `DOCKER_HOST` writes it. `tls`: for tcp."""

    url: str
    tls: TLSConfig | None = None

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Raises Unavailable, which says what to set, if the address or its certificates cannot be used. Reads small
        files; makes no connection."""
        url = environ.get("DOCKER_HOST", "").strip()
        if url:
            return cls(_checked(url, "DOCKER_HOST"), _certificates(url, environ))
        # The SDK's own reading of contexts wants a configuration beside them, and knows no DOCKER_CONTEXT.
        home = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
        name = environ.get("DOCKER_CONTEXT") or _current_context(home)
        return cls(_default_socket(environ)) if name == "default" else cls._of_context(home, name)

    @classmethod
    def _of_context(cls, home: Path, name: str) -> Self:
        named, key = f"the docker context {name!r}", hashlib.sha256(name.encode()).hexdigest()
        try:
            meta = json.loads((home / "contexts" / "meta" / key / "meta.json").read_text())
            engine = meta["Endpoints"]["docker"]
            url, unverified = str(engine["Host"]), bool(engine.get("SkipTLSVerify"))
        except FileNotFoundError:
            raise Unavailable(f"there is no docker context {name!r}; `docker context ls` lists them") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise Unavailable(f"{named} cannot be read") from None
        certificates = home / "contexts" / "tls" / key / "docker"
        tls = _tls(certificates, named, verify=not unverified) if certificates.is_dir() else None
        return cls(_checked(url, named), tls)

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def reach(self) -> Reach:
        """A socket and a loopback address are this machine: of a tunnel's other end only a setting can know."""
        host = None if self.scheme == "unix" else urlsplit(self.url).hostname
        return HERE if host is None or _is_loopback(host) else Reach(host)


def _checked(url: str, named_by: str) -> str:
    """Raises Unavailable for what no engine can have as its address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and (parts.path if parts.scheme == "unix" else parts.hostname)
        if usable and parts.scheme in ("tcp", "http", "https") and parts.port is None:
            usable = False
    except ValueError:
        usable = False
    if not usable:
        raise Unavailable(
            f"{named_by} is no address of a Docker Engine: use unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST"
        )
    return url


def _certificates(url: str, environ: Mapping[str, str]) -> TLSConfig | None:
    """As the docker command reads them: only for tcp, and only if one of the two variables asks for them."""
    verify, directory = bool(environ.get("DOCKER_TLS_VERIFY")), environ.get("DOCKER_CERT_PATH")
    if urlsplit(url).scheme not in ("tcp", "https") or not (verify or directory):
        return None
    if directory:
        return _tls(Path(directory), "the directory of DOCKER_CERT_PATH", verify=verify)
    return _tls(Path(environ.get("HOME", "/")) / ".docker", "~/.docker (DOCKER_CERT_PATH is not set)", verify=verify)


def _tls(where: Path, named: str, *, verify: bool) -> TLSConfig:
    missing = [name for name in CERTIFICATES[0 if verify else 1 :] if not os.access(where / name, os.R_OK)]
    if missing:
        raise Unavailable(
            f"Docker Engine is to be asked by TLS, but {' and '.join(missing)} cannot be read in {named}; put "
            f"{', '.join(CERTIFICATES)} there, or turn TLS off"
        )
    authority, own, key = (str(where / name) for name in CERTIFICATES)
    return TLSConfig(client_cert=(own, key), ca_cert=authority, verify=verify)


def _current_context(home: Path) -> str:
    try:
        return str(json.loads((home / "config.json").read_text()).get("currentContext") or "default")
    except (OSError, ValueError, AttributeError):
        return "default"


def _default_socket(environ: Mapping[str, str]) -> str:
    """A rootless engine listens in its user's own directory."""
    directory = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    rootless = Path(directory) / "docker.sock"
    if not Path(SOCKET).exists() and rootless.is_socket():
        return f"unix://{rootless}"
    return f"unix://{SOCKET}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
