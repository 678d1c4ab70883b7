"""Times, sizes and switches, as compose files write them."""

import math
import re
from typing import Any

from controlplane.cli.compose.errors import ComposeError

_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.I)
_BYTES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def seconds(value: Any, key: str) -> float:
    """`1m30s`; a bare number is of seconds."""
    text = str(value).strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if not re.fullmatch(rf"(?:{_TIME.pattern})+", text):
        raise ComposeError(key, f"{text!r} is no time; write it as 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _TIME.findall(text))


def mebibytes(value: Any, key: str) -> int:
    """`512m`, `1gb`, or bytes; rounded up."""
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ComposeError(key, f"{value!r} is no size; write it as 512m")
    return math.ceil(float(found[1]) * _BYTES[found[2].lower()] / 2**20)


def number(value: Any, key: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ComposeError(key, f"{value!r} is no number") from None


def whole(value: Any, key: str) -> int:
    found = number(value, key)
    if not found.is_integer():
        raise ComposeError(key, f"{value!r} is no whole number")
    return int(found)


def switch(value: Any, key: str) -> bool:
    """Also as text, after a variable was filled in."""
    match str(value).lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off" | "":
            return False
    raise ComposeError(key, f"{value!r} is neither true nor false")


def texts(value: Any, key: str) -> list[str]:
    """A list of words, or one word."""
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in found):
        raise ComposeError(key, "must be a list of words")
    return [text(item) for item in found]


def text(value: Any) -> str:
    """As it was written, for a value that YAML took for a number."""
    return str(value).lower() if isinstance(value, bool) else str(value)
