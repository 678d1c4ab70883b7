"""The front door of a home: its HAProxy's instructions, and its certificate.

The certificate and key of the settings are copied into one file of the home that HAProxy reads. A running HAProxy takes
another pair through its admin socket, in place: no connection is cut.
"""

import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

from controlplane.errors import SettingsError, Unavailable
from controlplane.local.authority import NodeCertificates
from controlplane.local.haproxy import Front
from controlplane.local.paths import Home, write_private
from controlplane.local.pinned import leaf
from controlplane.settings import Settings

SECONDS = 5.0
RENEWAL_SECONDS, POLL_SECONDS = 15.0, 0.1


def prepare(home: Home, settings: Settings) -> None:
    """Write the file that the next HAProxy reads. Raises SettingsError if certificate and key are missing or do not
    fit."""
    certificate = str(home.tls) if settings.tls else None
    front = Front(log=str(home.logs / "haproxy.log"), certificate=certificate)
    if not settings.alone:
        of_nodes = str(NodeCertificates(home.nodes).pair) if settings.nodes_tls else None
        front = replace(front, address=settings.node_address, address_certificate=certificate or of_nodes)
    if settings.tls_cert is not None and settings.tls_key is not None:
        write_private(home.tls, pair(settings.tls_cert, settings.tls_key))
    write_private(home.front, front.write())


def pair(certificate: Path, key: Path) -> str:
    """Certificate and key as one text, the certificate with its chain first. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # No password, so that no question appears on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
        texts = [path.read_text() for path in (certificate, key)]
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise SettingsError(f"LANDLORD_TLS_CERT, LANDLORD_TLS_KEY: {certificate} and {key}: {reason}") from None
    return "".join(f"{line}\n" for text in texts for line in text.splitlines() if line.strip())


def renew(home: Home, port: int) -> bool:
    """Make the running HAProxy show the home's certificate. False: it did already, or none runs; a new one reads it at
    its start. Raises Unavailable.

    A HAProxy that reloads may have read the earlier certificate, and takes the port afterwards: so what it shows
    counts, and not that one took it. A busy one that shows nothing in time is told like any other."""
    text = home.tls.read_text()
    if shown("127.0.0.1", port) == leaf(text):
        return False
    deadline = time.monotonic() + RENEWAL_SECONDS
    while sum(_take(admin, home.tls, text) for admin in home.runtime.glob("*/a.sock")):
        if shown("127.0.0.1", port) == leaf(text):
            return True
        if time.monotonic() > deadline:
            raise Unavailable(f"HAProxy has taken the certificate {home.tls}, but does not show it")
        time.sleep(POLL_SECONDS)
    return False


def _take(admin: Path, certificate: Path, text: str) -> bool:
    """True once the HAProxy of that socket has taken it. False: none listens there. Raises Unavailable."""
    try:
        _tell(admin, f"set ssl cert {certificate} <<\n{text}\n")
        said = _tell(admin, f"commit ssl cert {certificate}\n")
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    if "Success" not in said:
        raise Unavailable(f"HAProxy did not take the certificate: {' '.join(said.split())[:200]}")
    return True


def shown(host: str, port: int) -> bytes | None:
    """The certificate that a server shows, unverified. None if nothing speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as plain, context.wrap_socket(plain) as secured:
            return secured.getpeercert(binary_form=True)
    except OSError:
        return None


def _tell(admin: Path, command: str) -> str:
    """Send a command; return HAProxy's answer. Raises ConnectionRefusedError and FileNotFoundError if none listens, and
    Unavailable."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(admin))
            connection.sendall(command.encode())
            while part := connection.recv(4096):
                answer += part
    except (ConnectionRefusedError, FileNotFoundError):
        raise
    except OSError as error:
        raise Unavailable(f"HAProxy's admin socket {admin} does not answer: {error}") from None
    return answer.decode(errors="replace")
