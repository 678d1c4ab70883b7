"""The processor time of each process at its end, from the kernel's task statistics (Linux; the right to administer the
network). A process that lives for some milliseconds only is in it like any other.
"""

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

NETLINK_GENERIC, GENERIC_CONTROLLER, ACKNOWLEDGED = 16, 16, 0x5
GET_FAMILY, GET_STATISTICS = 3, 1
FAMILY_ID, FAMILY_NAME = 1, 2
REGISTER_CPUS = 3
OF_THREAD, STATISTICS = 4, 3
"""Of the attributes of a message: the one with the statistics of a thread that has ended, and those within it."""
WAITING_MESSAGES = 100_000
"""More than a buffer holds: on a busy machine there is always another one."""
BUFFER_BYTES = 64 * 2**20
BUFFER_BEYOND_BOUND = 33
"""Linux's SO_RCVBUFFORCE, which Python does not name."""
CPU_NANOSECONDS, COMMAND, PARENT, PROCESS = 72, 80, 132, 368
"""Where these stand in `struct taskstats` of the kernel, from its version 12 on, to which this was fitted."""
FIRST_VERSION = 12


@dataclass(slots=True)
class Ended:
    """`command`: its name at its end, at most 15 letters. `seconds`: those of its threads that have ended."""

    command: str = ""
    parent: int = 0
    seconds: float = 0.0


class Endings:
    """The processes of the machine that end meanwhile, by pid. Enter it as a context manager. Raises OSError if the
    kernel does not tell us."""

    def __init__(self, cpus: int) -> None:
        self.found: dict[int, Ended] = defaultdict(Ended)
        self._cpus = cpus
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._listening = threading.Thread(target=self._listen, name="endings", daemon=True)

    def __enter__(self) -> Self:
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, BUFFER_BEYOND_BOUND, BUFFER_BYTES)
        answer = self._ask(GENERIC_CONTROLLER, GET_FAMILY, FAMILY_NAME, b"TASKSTATS\0")
        (family,) = struct.unpack("=H", dict(_attributes(answer[20:]))[FAMILY_ID])
        self._socket.recv(4096)  # that the question was understood
        self._ask(family, GET_STATISTICS, REGISTER_CPUS, f"0-{self._cpus - 1}\0".encode())
        self._socket.settimeout(0.2)
        self._open = True
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What has ended by now is found then."""
        self._open = False
        self._listening.join()
        self._socket.close()

    def _ask(self, family: int, command: int, attribute: int, value: bytes) -> bytes:
        body = struct.pack("=BBH", command, 1, 0) + struct.pack("=HH", 4 + len(value), attribute) + value
        body += b"\0" * (-len(body) % 4)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), family, ACKNOWLEDGED, 1, 0) + body)
        answer = self._socket.recv(65536)
        refused = struct.unpack_from("=i", answer, 16)[0] if struct.unpack_from("=H", answer, 4)[0] == 2 else 0
        if refused:
            raise OSError(-refused, "the kernel does not tell which processes end")
        return answer

    def _listen(self) -> None:
        """Until it is left, and all that had come by then is read."""
        left: int | None = None
        while left is None or left > 0:
            if not self._open and left is None:
                left = WAITING_MESSAGES
                self._socket.setblocking(False)
            try:
                message = self._socket.recv(65536)
            except TimeoutError:
                continue
            except BlockingIOError:
                return
            left = None if left is None else left - 1
            for kind, value in _attributes(message[20:]):
                if kind == OF_THREAD:
                    self._take(dict(_attributes(value)).get(STATISTICS, b""))

    def _take(self, statistics: bytes) -> None:
        if len(statistics) < PROCESS + 4 or struct.unpack_from("=H", statistics)[0] < FIRST_VERSION:
            return
        thread, parent = struct.unpack_from("=II", statistics, PARENT - 4)
        (process,) = struct.unpack_from("=I", statistics, PROCESS)
        ended = self.found[process]
        ended.seconds += struct.unpack_from("=Q", statistics, CPU_NANOSECONDS)[0] / 1e9
        if thread == process or not ended.command:
            ended.command = statistics[COMMAND : COMMAND + 32].split(b"\0")[0].decode(errors="replace")
            ended.parent = parent


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            return
        yield kind, message[at + 4 : at + length]
        at += length + -length % 4
