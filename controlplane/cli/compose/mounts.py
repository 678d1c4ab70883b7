"""`volumes` and `tmpfs` of a compose service, as those of a docker config."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.leftovers import Leftovers
from controlplane.cli.compose.quantities import mebibytes, switch, texts

OF_HOST = (
    "a path of the machine: have what is there in the image or in a volume; a path of the server takes "
    "LANDLORD_DOCKER_ALLOW_HOST_ACCESS and an admin"
)
_HARMLESS = frozenset({"rw", "z", "Z", "cached", "delegated", "consistent", "nocopy", ""})
"""Modes that change nothing for a volume of the tenant's own."""


@dataclass
class Mounts:
    """`declared`: the file's own `volumes`."""

    declared: Mapping[str, Any]
    left: Leftovers
    volumes: list[str] = field(default_factory=list)
    tmpfs: list[dict[str, Any] | str] = field(default_factory=list)

    def add_volumes(self, value: Any) -> None:
        if not isinstance(value, list):
            raise ComposeError(self.left.key("volumes"), "must be a list")
        for index, item in enumerate(value):
            place = f"volumes.{index}"
            if isinstance(item, Mapping):
                self._long(item, place)
            else:
                self._short(str(item), place)

    def add_tmpfs(self, value: Any) -> None:
        for index, item in enumerate(texts(value, self.left.key("tmpfs"))):
            target, _, options = item.partition(":")
            size = None
            for option in filter(None, options.split(",")):
                name, _, amount = option.partition("=")
                if name == "size":
                    size = mebibytes(amount, self.left.key(f"tmpfs.{index}"))
                elif name not in ("rw", "nosuid", "nodev", "noexec") and option != "mode=1777":
                    self.left.add(f"tmpfs.{index}", f"{option} is not carried over; the mode is always 1777")
            self._in_memory(target, size)

    def _short(self, item: str, place: str) -> None:
        source, colon, rest = item.partition(":")
        if not colon:
            self._volume("", source, False, place)
            return
        target, _, modes = rest.partition(":")
        given = set(modes.split(","))
        for mode in sorted(given - _HARMLESS - {"ro"}):
            self.left.add(place, f"the mode {mode} has no counterpart")
        if source.startswith(("/", ".", "~")):
            self.left.add(place, f"{source} is {OF_HOST}")
            return
        self._volume(source, target, "ro" in given, place)

    def _long(self, item: Mapping[str, Any], place: str) -> None:
        source, target = str(item.get("source") or ""), str(item.get("target") or "")
        match item.get("type", "volume"):
            case "bind":
                self.left.add(place, f"{source} is {OF_HOST}")
            case "tmpfs":
                options = item.get("tmpfs") or {}
                size = options.get("size")
                self._in_memory(target, None if size is None else mebibytes(size, self.left.key(f"{place}.tmpfs")))
            case "volume":
                for name in sorted((item.get("volume") or {}).keys() - {"nocopy"}):
                    self.left.add(f"{place}.volume.{name}", "a volume is mounted as a whole")
                read_only = switch(item.get("read_only", False), self.left.key(f"{place}.read_only"))
                self._volume(source, target, read_only, place)
            case other:
                self.left.add(place, f"{other} is not there; a named volume is")

    def _volume(self, source: str, target: str, read_only: bool, place: str) -> None:
        if not target.startswith("/"):
            raise ComposeError(self.left.key(place), f"{target!r} is no path in the container; write NAME:/PATH")
        name = source or re.sub(r"[^a-zA-Z0-9_.-]+", "-", target).strip("-.")[:64] or "data"
        self.volumes.append(f"{name}:{target}:ro" if read_only else f"{name}:{target}")
        declared = self.declared.get(source)
        for key, value in declared.items() if isinstance(declared, Mapping) else ():
            if key not in ("labels", "name") and (key, value) not in (("driver", "local"), ("external", False)):
                self.left.add(f"{place}.{key}", f"{source} is a new, empty volume of the tenant's own")

    def _in_memory(self, target: str, size: int | None) -> None:
        if not target.startswith("/"):
            raise ComposeError(self.left.key("tmpfs"), f"{target!r} is no path in the container")
        self.tmpfs.append(target if size is None else {"target": target, "size_mib": max(1, size)})
