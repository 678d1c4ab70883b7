"""A command in a container, beside its own: what it writes, within bounds, while somebody may have ceased to wait."""

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from providers.compute.docker import entries

OUTPUT_BYTES = 256 * 1024


class Running:
    """What it has written so far. The thread that reads adds to it; who waits takes what there is."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._cut = False

    @property
    def text(self) -> str:
        with self._lock:
            return self._kept.decode(errors="replace")

    @property
    def cut(self) -> bool:
        return self._cut

    def take(self, chunks: Iterable[bytes]) -> None:
        """Until they end, the time is over, or there is more than is kept."""
        for chunk in chunks:
            with self._lock:
                room = OUTPUT_BYTES - len(self._kept)
                self._kept += chunk[:room]
                self._cut = len(chunk) > room
            if self._cut or time.monotonic() > self._until:
                return


def run(api: Any, container: str, command: Sequence[str], running: Running) -> int | None:
    """Its exit code; None: it has not ended. Blocks until it ends, is silent for as long as one request may take, or
    `running` has enough. The SDK's own `exec_start` has no time-out."""
    made = api.exec_create(container, list(command), stdout=True, stderr=True)
    url = api._url("/exec/{0}/start", made["Id"])
    with closing(api._post_json(url, data={"Detach": False, "Tty": False}, stream=True)) as answer:
        api._raise_for_status(answer)
        running.take(entries.frames(answer.raw))
    code = api.exec_inspect(made["Id"])["ExitCode"]
    return None if code is None else int(code)
