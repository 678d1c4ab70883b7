"""What a container's program finds around it, beyond image, ports and volumes: names, limits, memory as files."""

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from controlplane.model import Strict

INFINITE = -1
UlimitName = Literal[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]
OF_THE_MACHINE = frozenset({"nice", "rtprio"})
"""Ulimits with which a program comes before all others of the machine."""
MOST_FILES = 2**20
"""The kernel gives no process more (`fs.nr_open`)."""
OURS = "landlord."
HOST_GATEWAY = "host-gateway"
"""Docker's word for this machine, as its containers reach it."""

_LABEL_NAME = re.compile(r"[!-<>-~]{1,256}")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", re.A)


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if _LABEL_NAME.fullmatch(name) is None:
            raise ValueError("a name must have 1 to 256 visible characters, without a space or `=`")
        if name.lower().startswith(OURS):
            raise ValueError(f"has {name}; names with {OURS} are Landlord's own")
    return labels


def _host_line(value: str) -> str:
    name, _, address = value.partition(":")
    if _HOST.fullmatch(name) is None:
        raise ValueError("must be NAME:ADDRESS, as in `db.internal:10.0.0.5`")
    if address != HOST_GATEWAY:
        try:
            ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ValueError(f"must be NAME:ADDRESS, with an IP address or `{HOST_GATEWAY}`") from None
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be an IP address") from None


User = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$", max_length=128)
]
"""A user of the image, or a number, and maybe a group: `app`, `1000:1000`."""
Group = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=64)]
"""A group of the image, or a number."""
WorkingDirectory = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=1024)]
Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$", max_length=63
    ),
]
Labels = Annotated[
    dict[str, Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=4096)]],
    Field(max_length=128),
    AfterValidator(_labels),
]
ExtraHost = Annotated[str, StringConstraints(max_length=300), AfterValidator(_host_line)]
Address = Annotated[str, StringConstraints(max_length=64), AfterValidator(_address)]


_Device = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._/-]*$", max_length=128)]
Gpus = (
    Literal["all"] | Annotated[int, Field(ge=1, le=64)] | Annotated[list[_Device], Field(min_length=1, max_length=64)]
)
"""How many GPUs of the machine, or the ids (`GPU-3a2b…`, `0`) of which."""


class Ulimit(Strict):
    """Both limits of one kind: a number, or `{"soft": 1024, "hard": 4096}`. -1: none."""

    soft: int = Field(ge=INFINITE, le=2**53)
    hard: int = Field(ge=INFINITE, le=2**53)

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return {"soft": value, "hard": value} if isinstance(value, int) else value

    @model_validator(mode="after")
    def _ordered(self) -> "Ulimit":
        if self.hard != INFINITE and not INFINITE < self.soft <= self.hard:
            raise ValueError("soft is above hard; lower it")
        return self


def _of_files(ulimits: dict[UlimitName, Ulimit]) -> dict[UlimitName, Ulimit]:
    files = ulimits.get("nofile")
    if files is not None and not 1 <= files.hard <= MOST_FILES:
        raise ValueError(f"nofile must be 1 to {MOST_FILES}, which is the most that the kernel gives")
    return ulimits


Ulimits = Annotated[dict[UlimitName, Ulimit], AfterValidator(_of_files)]


class Tmpfs(Strict):
    """A directory in memory, empty at each start: `/run`, or the fields. What is in it counts as memory of the
    container. No program can be started from it."""

    target: str = Field(pattern=r"^/[^:\x00]+$", max_length=1024)
    size_mib: int = Field(default=64, ge=1, le=2**16, description="MiB")

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not re.fullmatch(r"/[^:\x00]+", value):
            raise ValueError('must be /PATH, or {"target": "/PATH", "size_mib": 64}')
        return {"target": value}
