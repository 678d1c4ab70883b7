"""Named points in the code where a fault test may kill or hold this process. Off unless LANDLORD_FAILPOINTS is set.

The setting names a directory. A file `<directory>/<point>` arms the point, and its text is the fault: `kill` (SIGKILL
to this very process), `fail` (as if the platform did not answer) or `hold` (wait until the file is gone). `kill` and
`fail` disarm themselves first, so they hit once.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from controlplane.errors import Unavailable

HOLD_POLL_SECONDS = 0.05


class Failpoints:
    """The points of one process. `directory` None: each point costs one comparison."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def clock_step(self) -> float:
        """Seconds by which a test has put this machine's clock wrong, in a file `clock`."""
        if self._directory is not None:
            with suppress(FileNotFoundError, ValueError):
                return float((self._directory / "clock").read_text())
        return 0.0

    async def reach(self, point: str) -> None:
        """Inject the fault that the test armed here, if any. Raises Unavailable for `fail`."""
        if self._directory is None:
            return
        armed = self._directory / point
        try:
            what = armed.read_text().strip()
        except FileNotFoundError:
            return
        if what in ("kill", "fail"):
            try:
                armed.unlink()
            except FileNotFoundError:
                return  # it hit another process
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "fail":
            raise Unavailable(f"a failpoint says so: {point}")
        (self._directory / f"{point}.reached").touch()
        while armed.exists():  # noqa: ASYNC110, the test holds us through the file system, there is nothing to await
            await asyncio.sleep(HOLD_POLL_SECONDS)
