"""What a command writes that was run in a tenant's compute, within bounds, while somebody may have ceased to wait."""

import threading
import time
from collections.abc import Iterable

OUTPUT_BYTES = 256 * 1024


class Running:
    """What it has written so far. The thread that reads adds to it; who waits takes what there is."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._kept = bytearray()
        self._cut = False

    @property
    def left(self) -> float:
        """Seconds; 0 if the time is over."""
        return max(0.0, self._until - time.monotonic())

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
            if self._cut or not self.left:
                return
