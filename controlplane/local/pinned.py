"""Trust in exactly one certificate, for clients on the machine that shows it."""

import re
import ssl
from pathlib import Path

from controlplane.errors import SettingsError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def pinned(certificate: Path) -> ssl.SSLContext:
    """For a client on this machine: the server must hold the key of exactly this certificate, whatever name is in it.
    Raises SettingsError if it cannot be read."""
    try:
        shown = leaf(certificate.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{certificate} cannot be read: {error}; `landlord up` writes it") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=shown)
    return context


def leaf(text: str) -> bytes:
    """The certificate at the start of a file. Raises ValueError."""
    found = _CERTIFICATE.search(text)
    if found is None:
        raise ValueError("it holds no certificate")
    return ssl.PEM_cert_to_DER_cert(found[0])
