"""Where Docker Engine puts a container's output: the drivers and options that a config may name."""

import re
from collections.abc import Mapping
from typing import Literal

from providers.kit.configs import Problems

LogDriver = Literal[
    "json-file", "local", "none", "journald", "syslog", "fluentd", "gelf", "awslogs", "gcplogs", "splunk"
]
OPTIONS: Mapping[str, frozenset[str]] = {
    "json-file": frozenset({"max-size", "max-file", "compress", "labels", "env", "tag"}),
    "local": frozenset({"max-size", "max-file", "compress"}),
    "none": frozenset(),
}
"""The drivers that keep output in the container's own files, or nowhere. All others have Docker Engine itself write
into logs of the machine, or connect to an address that the config names, with the machine's network and roles."""
BOUNDS: Mapping[str, str] = {"max-size": "1m", "max-file": "2"}
MOST_BYTES = 100 * 1024 * 1024
MOST_FILES = 10

_SIZE = re.compile(r"([0-9]{1,9})([kmg]?)b?", re.I)
_FIELDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName")
_TAG = re.compile(rf"(?:[^{{}}]|\{{\{{ ?\.(?:{'|'.join(_FIELDS)}) ?\}}\}})*")
"""Docker Engine carries a tag out as a template. Its functions can make a text of gigabytes (`pad`) in the engine's own
memory, so there is only what a tag is for."""
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def reaches_host(driver: str | None) -> bool:
    return driver is not None and driver not in OPTIONS


def engine_options(driver: str | None, options: Mapping[str, str]) -> dict[str, str]:
    """The options with the bounds that they leave out."""
    bounded = driver in (None, "json-file", "local")
    return {**(BOUNDS if bounded else {}), **options}


def problems(driver: str | None, options: Mapping[str, str]) -> Problems:
    """Options that the driver does not have, and those beyond what the disk should hold."""
    if reaches_host(driver):
        return []  # Docker Engine knows them, and refuses them itself
    name = driver or "json-file"
    known = ", ".join(sorted(OPTIONS[name])) or "none"
    return [
        {"loc": f"log_options.{option}", "message": message}
        for option, value in options.items()
        if (message := f"{name} has {known}" if option not in OPTIONS[name] else _wrong(option, value, options))
    ]


def _wrong(option: str, value: str, options: Mapping[str, str]) -> str | None:
    match option:
        case "max-size":
            size = _SIZE.fullmatch(value)
            if size is None or not 1 <= int(size[1]) * _UNITS[size[2].lower()] <= MOST_BYTES:
                return "must be a size up to 100m, as in `10m`"
        case "max-file":
            if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MOST_FILES):
                return f"must be 1 to {MOST_FILES}, as text"
        case "compress":
            if value not in ("true", "false"):
                return "must be `true` or `false`, as text"
            if value == "true" and options.get("max-file") == "1":
                return "takes max-file of 2 at least"
        case "tag":
            if _TAG.fullmatch(value) is None:
                return f"may have {{{{.Name}}}} and the like ({', '.join(_FIELDS)}), and no other braces"
    return None
