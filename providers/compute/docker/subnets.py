"""Which subnet a tenant's network gets. Pure, except for `host_routes`.

Docker Engine's own pools hold about 30 networks, because each gets 4,096 or 65,536 addresses. A tenant needs a few.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

SIZE = 28
"""Prefix length of a tenant's subnet: 16 addresses, of which 13 are for containers."""
WIDEST = 8
"""Shortest prefix of a pool."""

Network = ipaddress.IPv4Network


class SubnetPool:
    """Ranges of addresses, cut into subnets of SIZE. It keeps no account: what is taken is asked each time, and Docker
    Engine refuses a subnet that overlaps with one of its networks, so two who choose at once cannot both have it."""

    def __init__(self, ranges: Sequence[str]) -> None:
        self._ranges = [Network(text) for text in ranges]

    def __len__(self) -> int:
        return sum(1 << (SIZE - part.prefixlen) for part in self._ranges)

    def __str__(self) -> str:
        return ", ".join(map(str, self._ranges))

    def free(self, taken: Iterable[Network], start: int) -> Iterator[Network]:
        """The subnets that overlap with none of `taken`. Begins at the one with the number `start` (modulo all), goes
        round once."""
        gaps, at = self._gaps(list(taken)), start % max(1, len(self))
        later = (range(max(gap.start, at), gap.stop) for gap in gaps if gap.stop > at)
        earlier = (range(gap.start, min(gap.stop, at)) for gap in gaps if gap.start < at)
        return (self._subnet(number) for number in chain.from_iterable(chain(later, earlier)))

    def _gaps(self, taken: Sequence[Network]) -> list[range]:
        """Numbers of subnets that are free, as runs."""
        gaps: list[range] = []
        base = 0
        for part in self._ranges:
            count, first = 1 << (SIZE - part.prefixlen), _block(part.network_address)
            blocked = sorted(
                (_block(net.network_address) - first, _block(net.broadcast_address) - first)
                for net in taken
                if net.overlaps(part)
            )
            begin = 0
            for low, high in blocked:
                if low > begin:
                    gaps.append(range(base + begin, base + low))
                begin = max(begin, high + 1)
            if begin < count:
                gaps.append(range(base + begin, base + count))
            base += count
        return gaps

    def _subnet(self, number: int) -> Network:
        for part in self._ranges:
            count = 1 << (SIZE - part.prefixlen)
            if number < count:
                return Network((int(part.network_address) + (number << (32 - SIZE)), SIZE))
            number -= count
        raise IndexError(number)


def _block(address: ipaddress.IPv4Address) -> int:
    return int(address) >> (32 - SIZE)


def host_routes(table: Path = Path("/proc/net/route")) -> list[Network]:
    """The IPv4 networks that this machine has a route to, the default route apart. Empty if the kernel shows none."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        _, destination, _, _, _, _, _, mask, *_ = line.split("\t")
        if int(mask, 16):
            found.append(Network((_dotted(destination), _dotted(mask))))
    return found


def _dotted(text: str) -> str:
    """The kernel writes addresses as numbers of this machine's byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(text, 16)))
