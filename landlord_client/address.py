"""Which addresses a token may be sent to."""

import ipaddress
from urllib.parse import urlsplit


def in_clear(url: str) -> bool:
    """True if others could read the traffic to this URL: it is not https, and its host is not this machine by a name
    or an address that cannot be another's."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
