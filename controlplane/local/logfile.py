"""A log file to which many processes write lines, and which stays bounded: a writer that finds it full moves it aside.

Also runs as a script of its own (`python -IS logfile.py <file>`), which copies its standard input into such a file.
That is how HAProxy's lines get there. So it imports nothing but the standard library.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

LARGEST = 16 * 1024 * 1024
KEPT = 3
"""Number of full files next to the current one: `x.log.1` is the newest of them."""
LONGEST_LINE = 32 * 1024
LOOK_SECONDS = 0.1
"""Whether the file still has its name, and is not full yet, is looked at so often at most: each look takes more time
than the line."""


class LineFile:
    """Appends each line by one write, so that lines of several processes never mix. A line may land in a file that was
    moved aside a moment ago, and a file may become a little larger than it should; none is lost. A full disk or a
    missing directory costs lines and nothing else: nothing here raises."""

    def __init__(
        self, path: Path, *, largest: int = LARGEST, kept: int = KEPT, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._path = path
        self._largest = largest
        self._kept = kept
        self._look_seconds = look_seconds
        self._file = -1
        self._looked = 0.0
        self._written = 0
        """Bytes since then."""

    def write(self, line: bytes) -> None:
        """`line` without its end."""
        with contextlib.suppress(OSError):
            text = line[:LONGEST_LINE] + b"\n"
            now = time.monotonic()
            looks = now - self._looked > self._look_seconds or self._written + len(text) > self._largest // 16
            if looks or self._file < 0:
                self._open_current()
            self._written += os.write(self._file, text)
            if looks:
                self._looked, self._written = now, 0
                if os.fstat(self._file).st_size > self._largest:
                    self._move_aside()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open_current(self) -> None:
        """The file that has the name now: another process may have moved ours aside."""
        if self._file >= 0 and self._is_current():
            return
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _move_aside(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if self._is_current():
            for number in range(self._kept, 0, -1):
                older = self._path if number == 1 else self._aside(number - 1)
                with contextlib.suppress(FileNotFoundError):
                    older.rename(self._aside(number))
        self.close()

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def copy(lines: Iterable[bytes], file: LineFile) -> None:
    """Copy each line into the file. A line that is no JSON object is wrapped into one, so that a reader finds nothing
    else."""
    for line in lines:
        text = line.rstrip(b"\n")
        if not text.startswith(b"{"):
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = json.dumps({"time": now, "message": text.decode(errors="replace")}).encode()
        file.write(text)


if __name__ == "__main__":
    copy(sys.stdin.buffer, LineFile(Path(sys.argv[1])))
