"""A container's output, entry by entry, and where a reader of it was.

The SDK's own `logs` reads all of it into memory, and one line may have any length; its stream has no time-out.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

HEADER_BYTES = 8
"""Before each entry of the output: its stream, and its length in the last four bytes."""
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
_POSITION = re.compile(r"([0-9]{1,12})\.([0-9]{9})-([0-9]{1,9})")

Moment = tuple[int, int]
"""Seconds and nanoseconds."""


def read(api: Any, container: str, **parameters: int) -> Iterator[bytes]:
    """As it was written: mostly a line each; a long line is several."""
    url = api._url("/containers/{0}/logs", container)
    with closing(api._get(url, params={"stdout": 1, "stderr": 1, **parameters}, stream=True)) as answer:
        api._raise_for_status(answer)
        yield from frames(answer.raw)


def frames(raw: Any) -> Iterator[bytes]:
    """What stands between the headers of a stream of both outputs."""
    while len(header := raw.read(HEADER_BYTES)) == HEADER_BYTES:
        yield raw.read(int.from_bytes(header[4:], "big"))


class Follower:
    """One look at what came after a position: the moment of the last entry that was seen, and the number of entries of
    that very moment. Podman says whole seconds only, so that number may be large. An engine whose clock goes back shows
    nothing until it has caught up."""

    def __init__(self, position: str | None, tail: int) -> None:
        """None, or a position that is none: the last `tail` entries, and those that came within one second."""
        found = _POSITION.fullmatch(position or "")
        self._last: Moment = (int(found[1]), int(found[2])) if found else (0, 0)
        self._seen = int(found[3]) if found else 0
        self._tail = tail
        self.begins = found is None

    @property
    def position(self) -> str:
        """After what has been read."""
        return f"{self._last[0]}.{self._last[1]:09d}-{self._seen}"

    def read(self, api: Any, container: str) -> Iterator[bytes]:
        """The entries, without their times."""
        if self.begins:
            yield from self._older(api, container)
        known, left = self._last, self._seen
        # From the whole second: engines differ in the fractions that they take.
        for at, text in _timed(api, container, since=known[0]):
            moment = at or self._last
            if moment < known:
                continue
            if moment == known and left > 0:
                left -= 1
                continue
            if moment >= self._last:  # stdout and stderr may be out of order by a little
                self._seen = self._seen + 1 if moment == self._last else 1
                self._last = moment
            yield text

    def _older(self, api: Any, container: str) -> Iterator[bytes]:
        """The last ones before the second of the last one. From there on all are read, so that they can be counted."""
        for at, _ in _timed(api, container, tail=1):
            self._last = (at[0], 0) if at else self._last
        if self._last > (0, 0):
            for at, text in _timed(api, container, tail=self._tail):
                if at is not None and at < self._last:
                    yield text


def _timed(api: Any, container: str, **parameters: int) -> Iterator[tuple[Moment | None, bytes]]:
    """Each entry with its time; None: an engine that says none."""
    for entry in read(api, container, timestamps=1, **parameters):
        found = _TIME.match(entry)
        yield (_moment(found), entry[found.end() :]) if found else (None, entry)


def _moment(found: re.Match[bytes]) -> Moment:
    whole = datetime.fromisoformat((found[1] + found[3]).decode().replace("Z", "+00:00"))
    return int(whole.timestamp()), int((found[2] or b"0").ljust(9, b"0"))
