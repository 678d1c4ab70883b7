"""`landlord up --foreground`, and `landlord node join --foreground`: stay, and start again what has died. The command
runs below systemd or in a terminal."""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from threading import Event
from types import FrameType

from controlplane.local.installation import Component

LOOK_SECONDS = 5.0
LONGEST_PAUSE = 60.0
_RAY = ("ray head", "ray node")
_NEEDED = (*_RAY, "postgres", "api")


class Foreground:
    """Brings the control plane up, looks at its processes, and brings it up again when one of them is dead.

    A control plane that runs and is not ready is let be: it waits for its database, and starting it again would end
    work. Not ready for a moment is not dead either: a part counts as dead at the second look in a row."""

    def __init__(
        self,
        bring_up: Callable[[], object],
        components: Callable[[], Sequence[Component]],
        say: Callable[[str], None],
        wait: Callable[[float], bool],
    ) -> None:
        """`wait` pauses for some seconds; True ends the loop."""
        self._bring_up = bring_up
        self._components = components
        self._say = say
        self._wait = wait

    def run(self) -> None:
        """Returns when `wait` says so. Raises what the first `bring_up` raises: a wrong setting is for a person."""
        self._bring_up()
        notify("READY=1")
        pause, suspected = LOOK_SECONDS, False
        while not self._wait(pause):
            trouble = dead(self._components())
            if trouble is None or not suspected:
                pause, suspected = LOOK_SECONDS, trouble is not None
                continue
            self._say(f"{trouble}; starting it again")
            try:
                self._bring_up()
                pause, suspected = LOOK_SECONDS, False
            except Exception as error:  # nobody else would start it again
                pause = min(LONGEST_PAUSE, pause * 2)
                self._say(f"{str(error) or type(error).__name__}; trying again in {pause:.0f} s")


def dead(components: Sequence[Component]) -> str | None:
    """The first part that runs no more, with the reason; None if all run. No row at all of a part that is needed is no
    start yet, or a `landlord down`."""
    rows = {part.name: part for part in components}
    if rows.keys().isdisjoint(_RAY):
        return "nothing runs"
    for part in (rows[name] for name in _NEEDED if name in rows):
        if not part.up and (part.name != "api" or part.pid is None):
            return f"{part.name} is down: {part.detail}" if part.detail else f"{part.name} is down"
    return None


def until_signalled() -> Event:
    """Set by SIGTERM or SIGINT."""
    asked = Event()

    def end(_: int, __: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return asked


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); without it, nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.connect("\0" + address[1:] if address.startswith("@") else address)
            one.sendall(state.encode())
