"""A command's output, in the two files that its keeper bounds.

The command appends to `log`. Where that has grown too long, the keeper copies its end to `log.1` and truncates it.
`log.moved` says how many bytes it has taken away so far (`before`), and in the moment of the truncation how many it
takes (`moving`). A position is a number of bytes since the command's first start, so it outlives all that.
"""

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.ports import LogPart
from providers.compute.process.files import read_json
from providers.kit.tails import last_lines

LONGEST = 1 << 21
"""Bytes read of each file: a command may make its log of any length before its keeper looks."""
TRIES = 5


def newest(directory: Path, tail: int) -> str:
    """The last `tail` lines of both files."""
    return last_lines(_read(directory).text(0)[0], tail)


def after(directory: Path, position: str | None, tail: int) -> LogPart:
    """What was written after `position`; None, or one that is no number: the last `tail` lines."""
    begin = int(position) if position is not None and position.isascii() and position.isdecimal() else None
    written = _read(directory)
    text, end = written.text(begin or 0)
    return LogPart(last_lines(text, tail) if begin is None else text, str(end))


@dataclass(frozen=True, slots=True)
class _Written:
    """Both files in a row, or the end of the newer one. `ends`: the number of bytes that were ever written."""

    kept: bytes
    ends: int
    behind: int
    """Where the newer file begins."""

    def text(self, begin: int) -> tuple[str, int]:
        """From there, and where it ends: before a character of which not all bytes are there yet."""
        if begin > self.ends:
            begin = self.behind  # the command has emptied its log itself
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self.kept[max(0, len(self.kept) - (self.ends - begin)) :] if begin < self.ends else b"")
        return text, self.ends - len(decoder.getstate()[0])


def _read(directory: Path) -> _Written:
    """As it was at one moment, unless the log is moved again and again."""
    for _ in range(TRIES):
        moved = read_json(f"{directory}/log.moved") or {}
        older, newer = _end_of(directory / "log.1"), _end_of(directory / "log")
        if moved == (read_json(f"{directory}/log.moved") or {}):
            break
    before, moving = _number(moved, "before"), _number(moved, "moving")
    if moving and newer.size >= moving:
        older = _End(b"", 0)  # the truncation is still to come: `log.1` has what `log` has
    else:
        before += moving
    whole = newer.size == len(newer.kept)
    return _Written((older.kept if whole else b"") + newer.kept, before + newer.size, before)


@dataclass(frozen=True, slots=True)
class _End:
    kept: bytes
    size: int


def _end_of(path: Path) -> _End:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST))
            return _End(kept := file.read(LONGEST), max(0, size - LONGEST) + len(kept))
    except FileNotFoundError:
        return _End(b"", 0)


def _number(moved: Mapping[str, Any], name: str) -> int:
    found = moved.get(name)
    return found if isinstance(found, int) else 0
