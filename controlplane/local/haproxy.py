"""Ray Serve starts this instead of HAProxy. It hardens the configuration that Ray wrote, then becomes the real HAProxy.

Ray's configuration binds metrics and statistics to all addresses, gives the admin socket mode 666, has no time limit
for a request's header, and gives a silent client an hour. Also, if its Ray is killed, a HAProxy would stay and keep its
ports: so this one ends with its parent. Its log goes through a pipe into a bounded file (see `logfile`).

Runs as a script of its own (`python -IS haproxy.py <real haproxy> -db -f <file> …`) in about 20 ms, so it imports
nothing but the standard library. The pid stays the same throughout, which Ray relies on.
"""

import ctypes
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
FRONT_VARIABLE = "LANDLORD_INTERNAL_FRONT"
"""The variable that names the file with a Front."""

REQUEST_SECONDS = 10
"""Time from the first byte until the header, and a body of up to 16 KiB, is complete. The application bounds a longer
body."""
CLIENT_SECONDS = 12
"""Time without a byte from a client that owes us one: part of a body, a handshake, room for an answer. A client that
only waits, for `Prefer: wait` or the next event of a stream, owes nothing."""
MOST_CONNECTIONS = 16384
RESERVED_FILES = 1000
"""Kept from the limit for open files. From the rest, a connection takes two, and half of a pipe's two by HAProxy's
count."""
RESERVED_CONNECTIONS = 200
LOOPBACK = ("127.", "localhost:", "[::1]:")
ASIDE_CONNECTIONS = 50
"""Connections for statistics and for metrics, so that neither takes the API's."""

UNTIL_THE_END = "x-request-disconnect-disabled"
"""A header for Serve: it then runs the request to its end, whether or not the client is still there. Otherwise it makes
two tasks for each request to see that. Clients may not send it: a wait would keep its slot after its client left."""
SHORT_READS = "^/(healthz|v1/tenants(/[^/]*)?)$"
"""Paths whose GET is answered in a moment."""

UNANSWERED_FILE = "503.http"
"""Beside the configuration: what a client gets where no replica has answered."""
_PROBLEM = {
    "type": "urn:landlord:problem:unavailable",
    "title": "A part that is needed does not answer",
    "status": 503,
    "detail": "no replica of the API answered; try again, a change with the same Idempotency-Key",
    "code": "unavailable",
}

_EVERY_ADDRESS = re.compile(r"^(\s*bind\s+)(?:\*|0\.0\.0\.0|\[::\]|::)?:(?=\d)", re.MULTILINE)
_OPEN_SOCKET = re.compile(r"^(\s*stats\s+socket\s+.*\bmode\s+)\d+", re.MULTILINE)
_HARDENED = "# hardened by landlord"

_LOG = {
    "time": '"%[date,utime("%Y-%m-%dT%H:%M:%SZ")]"',
    "client": '"%ci"',
    "method": '"%HM"',
    "path": '"%[var(txn.landlord_path)]"',
    "status": "%ST",
    "ms": "%Ta",
    "bytes": "%B",
    "end": '"%ts"',
    "request_id": '"%[var(txn.landlord_id)]"',
}
"""One JSON object for each request. HAProxy writes `-` for a missing value, and quotes control characters itself."""


@dataclass(frozen=True)
class Front:
    """The instructions of `landlord up` for each HAProxy that starts: the file for its log, the certificate with its
    key if it speaks TLS, and the address besides 127.0.0.1 on which other machines reach the API, with that one's
    certificate."""

    log: str | None = None
    certificate: str | None = None
    address: str | None = None
    address_certificate: str | None = None

    def write(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def read(cls, file: str | None) -> "Front":
        return cls(**json.loads(Path(file).read_text())) if file else cls()


def close_binds(configuration: str) -> str:
    """The same configuration with every listener on loopback and the admin socket for its owner only."""
    return _OPEN_SOCKET.sub(r"\g<1>600", _EVERY_ADDRESS.sub(r"\g<1>127.0.0.1:", configuration))


def harden(configuration: str, *, files: int, front: Front | None = None) -> str:
    """The configuration for HAProxy. `files`: the number that it may open."""
    front = front or Front()
    if configuration.startswith(_HARDENED):
        return configuration
    most = max(RESERVED_CONNECTIONS * 2, min(MOST_CONNECTIONS, (files - RESERVED_FILES) * 2 // 5))
    lines = [_HARDENED]
    section: tuple[str, ...] = ()
    for line in close_binds(configuration).splitlines():
        if line[:1].strip() and not line.startswith("#"):
            section = tuple(line.split())
            lines += [line, *_added(section, most)]
        else:
            lines += _rewritten(line, section, most, front)
    return "\n".join(lines) + "\n"


def _added(section: tuple[str, ...], most: int) -> list[str]:
    """Lines at the start of the section."""
    match section:
        case ("defaults", *_):
            return [f"    timeout client {CLIENT_SECONDS}s", f"    timeout http-request {REQUEST_SECONDS}s"]
        case ("frontend", "http_frontend"):
            form = ",".join(f'"{name}":{value}' for name, value in _LOG.items())
            return [
                f"    maxconn {most - RESERVED_CONNECTIONS}",
                # With this the time limit covers bodies too, and a slow one takes no place of the application's.
                "    option http-buffer-request",
                "    http-request set-var(txn.landlord_path) path,bytes(0,1024),json(utf8s)",
                "    http-request set-header X-Forwarded-For %[src]",
                f"    http-request del-header {UNTIL_THE_END}",
                f"    http-request set-header {UNTIL_THE_END} ?1 if METH_GET {{ path_reg {SHORT_READS} }}",
                "    http-response set-var(txn.landlord_id) res.hdr(x-request-id,1),bytes(0,128),json(utf8s)",
                # Serve appends another behind the application's own.
                "    http-response set-header X-Request-ID %[res.hdr(x-request-id,1)] "
                "if { res.hdr_cnt(x-request-id) gt 1 }",
                f"    log-format '{{{form}}}'",
            ]
        case ("frontend" | "listen", "prometheus" | "stats"):
            return [f"    maxconn {ASIDE_CONNECTIONS}"]
    return []


def _rewritten(line: str, section: tuple[str, ...], most: int, front: Front) -> list[str]:
    """The line as it stays. None if it is removed."""
    words = line.split()
    match (section, words):
        case (("global", *_), ["maxconn", _]):
            return [f"    maxconn {most}"]
        case (("defaults", *_), ["timeout", "client" | "http-request", _]):
            return []
        case (("defaults", *_), ["errorfile", status, file]):
            # Serve's is a text with the status 500, which no client tries again.
            return [f"    errorfile {status} {Path(file).with_name(UNANSWERED_FILE)}"]
        case (("frontend", "http_frontend"), ["bind", here]):
            there = [] if front.address is None else [f"{front.address}:{here.rpartition(':')[2]}"]
            bound = ((here, front.certificate), *((one, front.address_certificate) for one in there))
            return [_bind(address, certificate) for address, certificate in bound]
        case (("backend", _), ["server", _, target, *_]) if not target.startswith(LOOPBACK):
            # A replica on another machine listens on that one's loopback only: its own HAProxy asks it.
            return []
    return [line]


def _bind(address: str, certificate: str | None) -> str:
    return f"    bind {address}" + (f' ssl crt "{certificate}" ssl-min-ver TLSv1.2' if certificate else "")


def unanswered() -> str:
    """The whole answer, as HAProxy sends it."""
    body = json.dumps(_PROBLEM)
    headers = f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\nRetry-After: 2\r\n"
    return f"HTTP/1.1 503 Service Unavailable\r\n{headers}Cache-Control: no-store\r\n\r\n{body}"


def configuration_files(arguments: list[str]) -> list[str]:
    """The argument after each `-f`."""
    return [value for flag, value in itertools.pairwise(arguments) if flag == "-f"]


def launcher(python: str, program: Path, front: Path) -> str:
    """A shell script for RAY_SERVE_HAPROXY_BINARY_PATH, which must name one executable file."""
    words = " ".join(f"'{word}'" for word in (python, "-IS", __file__, str(program)))
    return f"#!/bin/sh\n{FRONT_VARIABLE}='{front}' exec {words} \"$@\"\n"


def main(arguments: list[str]) -> None:
    program, *rest = arguments
    front = Front.read(os.environ.get(FRONT_VARIABLE))
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name in configuration_files(rest):
        file = Path(name)
        file.write_text(harden(file.read_text(), files=files, front=front))
        file.with_name(UNANSWERED_FILE).write_text(unanswered())
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # The parent died before the kernel knew that we want to hear of it.
        sys.exit(1)
    os.umask(0o077)
    if front.log is not None:
        write_to(front.log)
    os.execv(program, [program, *rest])


def write_to(log: str) -> None:
    """Make our standard output a pipe to a process that writes the file and ends when we do."""
    reading, writing = os.pipe()
    script = str(Path(__file__).with_name("logfile.py"))
    subprocess.Popen(
        [sys.executable, "-IS", script, log], stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.dup2(writing, sys.stdout.fileno())
    os.close(reading)
    os.close(writing)


if __name__ == "__main__":
    main(sys.argv[1:])
