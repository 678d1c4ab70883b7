"""Files that are never incomplete, and locks on them. Standard library only, for the keeper."""

from __future__ import annotations

import fcntl
import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing for real would cost every tenant a megabyte
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

LOCK_SECONDS = 10.0


def read_json(path: str) -> Json | None:
    """The object in that file. None if there is none, or an incomplete one."""
    try:
        with open(path) as file:
            value = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def states(root: str) -> Iterator[Json]:
    """The `state.json` of each directory in `root` that has one."""
    for name in os.listdir(root):
        found = None if name.startswith(".") else read_json(f"{root}/{name}/state.json")
        if found is not None:
            yield found


def write_json(path: str, value: Json) -> None:
    """Write the object: readers see the old one or the new one, also if the disk is full (OSError). Mode 0600: it may
    hold a tenant's secrets."""
    written = f"{path}.{os.getpid()}"
    file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        left = memoryview(json.dumps(value).encode())
        while left:
            left = left[os.write(file, left) :]  # on a nearly full disk it writes a part
        os.fsync(file)
    except OSError:
        os.unlink(written)
        raise
    finally:
        os.close(file)
    os.replace(written, path)


class Locked:
    """`with Locked(path):` holds an exclusive flock on a file, and makes the file if it is missing. Raises
    TimeoutError."""

    def __init__(self, path: str, seconds: float = LOCK_SECONDS) -> None:
        self.path, self.seconds, self.file = path, seconds, -1

    def __enter__(self) -> Locked:
        deadline = time.monotonic() + self.seconds
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self.file)
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"locked by another process for {self.seconds:g} s") from None
                time.sleep(0.02)
                continue
            if self._is_at_path():
                return self
            os.close(self.file)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def _is_at_path(self) -> bool:
        """True if the locked file is still at its path: a lock on a removed file guards nothing. Raises
        FileNotFoundError if its directory is gone as well."""
        try:
            return os.stat(self.path).st_ino == os.fstat(self.file).st_ino
        except FileNotFoundError:
            os.stat(os.path.dirname(self.path))
            return False


def is_locked(path: str) -> bool:
    """True if a process holds that lock now. Raises FileNotFoundError."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
