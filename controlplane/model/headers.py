"""Words of HTTP that a client may have a probe say: a host, and header fields of its own."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.A)
OF_THE_PROBE = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Header fields that say how the connection is used, in lower case."""

MOST_HEADERS = 32
LONGEST_NAME = 128

Host = Annotated[str, StringConstraints(pattern=rf"^{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?$", max_length=253)]
"""A name or an IPv4 address, with or without a port."""
HeaderValue = Annotated[str, StringConstraints(pattern=r"^([!-~]([ -~]*[!-~])?)?$", max_length=4096)]
"""Visible ASCII, with spaces inside."""


def _sayable(headers: dict[str, str]) -> dict[str, str]:
    seen = set[str]()
    for name in headers:
        lower = name.lower()
        if _NAME.fullmatch(name) is None or len(name) > LONGEST_NAME:
            raise ValueError(f"a name is no name of a header field of at most {LONGEST_NAME} characters")
        if lower == "host":
            raise ValueError("has Host; give it as `host`, beside `headers`")
        if lower in OF_THE_PROBE:
            raise ValueError(f"has {name}, which is the probe's own; leave it out")
        if lower in seen:
            raise ValueError(f"has {name} twice")
        seen.add(lower)
    return headers


Headers = Annotated[dict[str, HeaderValue], Field(max_length=MOST_HEADERS), AfterValidator(_sayable)]
"""Header fields beside the probe's own, which are about the connection."""


def server_name(host: str) -> str:
    """The host without its port."""
    return host.partition(":")[0]
