"""How a tenant's own program is asked to end: which signal, and how long it may take."""

import re
import signal
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MOST_GRACE = 300
"""Seconds. A stop is one effect of a step, which is waited for."""

_NUMBERED = re.compile(r"RT(?:MIN(?:\+(?:[1-9]|1[0-5]))?|MAX(?:-(?:[1-9]|1[0-4]))?)")


def _signal(value: str) -> str:
    name = value.removeprefix("SIG")
    numbered = name.isascii() and name.isdecimal() and 1 <= int(name) <= 64
    if numbered or _NUMBERED.fullmatch(name) or f"SIG{name}" in signal.Signals.__members__:
        return value
    raise ValueError("is no signal; write it as `SIGTERM`, `TERM` or `15`")


StopSignal = Annotated[str, StringConstraints(max_length=64), AfterValidator(_signal)]


def number_of(stop_signal: str) -> int:
    """The number of such a signal on this machine."""
    name = stop_signal.removeprefix("SIG")
    if name.isdecimal():
        return int(name)
    found = re.fullmatch(r"(RTMIN|RTMAX)([+-]\d+)?", name)
    if found is not None:
        return int(signal.Signals[f"SIG{found[1]}"]) + int(found[2] or 0)
    return int(signal.Signals[f"SIG{name}"])
