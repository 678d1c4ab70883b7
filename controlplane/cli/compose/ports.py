"""`ports` of a compose service, as those of a docker config."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.cli.compose.errors import ComposeError
from controlplane.cli.compose.leftovers import Leftovers
from controlplane.cli.compose.quantities import whole

LOOPBACK = "127.0.0.1"
_SHORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|\d+\.\d+\.\d+\.\d+):)?(?:(?P<host>\d+(?:-\d+)?)?:)?"
    r"(?P<port>\d+(?:-\d+)?)(?:/(?P<protocol>[a-z]+))?"
)


def ports(value: Any, left: Leftovers) -> list[dict[str, Any]]:
    """One for each port. Compose publishes on every address of the machine; here it is 127.0.0.1."""
    if not isinstance(value, list):
        raise ComposeError(left.key("ports"), "must be a list")
    found: dict[tuple[int, str], dict[str, Any]] = {}
    everywhere = False
    for index, item in enumerate(value):
        place = f"ports.{index}"
        for address, port in _parsed(item, place, left):
            once = (port["container_port"], port.get("protocol", "tcp"))
            if address not in (LOOPBACK, None):
                left.add(f"{place}.host_ip", f"published on {LOOPBACK}, not on {address}; {_OTHERS}")
            everywhere = everywhere or (address is None and "host_port" in port)
            if once in found:
                left.add(place, f"{once[0]}/{once[1]} is published already, and once is enough")
            else:
                found[once] = port
    if everywhere:
        left.add("ports", f"published on {LOOPBACK}, not on every address; {_OTHERS}")
    return list(found.values())


_OTHERS = "for another one give `host_ip`, which LANDLORD_DOCKER_PUBLISH must list"


def _parsed(item: Any, place: str, left: Leftovers) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Address of the host, if one is given, and the port."""
    if isinstance(item, Mapping):
        address = item.get("host_ip")
        inside, outside = str(item.get("target", "")), str(item.get("published", ""))
        protocol = str(item.get("protocol", "tcp"))
        for name in item.keys() - {"target", "published", "protocol", "host_ip", "mode", "name"}:
            left.add(f"{place}.{name}", "has no counterpart")
    else:
        short = _SHORT.fullmatch(str(item))
        if short is None:
            raise ComposeError(left.key(place), f"{item!r} is no port; write it as `8080:80`, in quotes")
        address, inside, outside = short["ip"], short["port"], short["host"] or ""
        protocol = short["protocol"] or "tcp"
    if protocol not in ("tcp", "udp"):
        left.add(place, f"{protocol} is not published; tcp and udp are")
        return
    targets, published = _range(inside, left.key(place)), _range(outside, left.key(place)) if outside else []
    if published and len(published) != len(targets):
        left.add(place, f"of the ports {outside} none is chosen: Docker Engine takes a free one")
        published = []
    for index, target in enumerate(targets):
        port: dict[str, Any] = {"container_port": target}
        if published and published[index]:
            port["host_port"] = published[index]
        if protocol != "tcp":
            port["protocol"] = protocol
        yield None if address is None else str(address).strip("[]"), port


def _range(text: str, key: str) -> list[int]:
    first, dash, last = text.partition("-")
    begin = whole(first, key)
    end = whole(last, key) if dash else begin
    if not 0 <= begin <= end <= 65535 or end - begin > 64:
        raise ComposeError(key, f"{text} is no port, nor a range of up to 64")
    return list(range(begin, end + 1))
