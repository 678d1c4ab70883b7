"""One worker at a time on one home: an advisory file lock, which the kernel frees when its holder dies."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.errors import SettingsError


@contextmanager
def file_lock(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `path` exclusively. While another process holds it, call `waiting` once and block.

    Raises SettingsError if the file cannot be written: the home belongs to another user.
    """
    try:
        file = path.open("a")
    except OSError as error:
        raise SettingsError(f"LANDLORD_HOME: {path} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
