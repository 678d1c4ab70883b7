"""The protocol between a launcher (`controlplane.local.worker`) and a fork server (`actors.forkserver`).

One connection to a Unix socket for each worker: a byte that carries the launcher's descriptors 0 to 2, then words that
each end with a null byte (the directory, how many words the command has, the command, the environment as `NAME=value`),
then the end of the request. The answer is DONE once the worker is forked.

A launcher is a new Python for each worker, so nothing here may import much: `socket` would double the time that it
lives, and `json` too. Hence CPython's own `_socket`, on which `socket` stands.
"""

import _socket
import os
import sys

DONE = b"forked"

LONGEST_REQUEST = 1 << 22
"""Longest request in bytes: an environment and a command line."""

RECEIVE_SECONDS = 5.0

DESCRIPTORS = 3
_SIZE = 4
"""Bytes of a descriptor in a message, a C `int`."""


class ForkRequest:
    """A request for a fork: the worker's command line, environment and directory, and its descriptors 0 to 2."""

    def __init__(
        self, command: list[str], environ: dict[str, str], directory: str, descriptors: tuple[int, ...]
    ) -> None:
        self.command = command
        self.environ = environ
        self.directory = directory
        self.descriptors = descriptors


def ask(server: str, command: list[str]) -> bool:
    """Ask for a fork that becomes the worker, with our environment, directory and descriptors. False: there was no
    fork.

    Raises OSError if no server listens."""
    variables = [name + b"=" + value for name, value in os.environb.items()]
    words = [os.getcwdb(), b"%d" % len(command), *map(os.fsencode, command), *variables]
    descriptors = b"".join(number.to_bytes(_SIZE, sys.byteorder) for number in range(DESCRIPTORS))
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(server)
        connection.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
        connection.sendall(b"".join(word + b"\0" for word in words))
        connection.shutdown(_socket.SHUT_WR)
        return connection.recv(len(DONE)) == DONE
    finally:
        connection.close()


def listens(server: str) -> bool:
    """True if a server would answer."""
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(server)
    except OSError:
        return False
    finally:
        connection.close()
    return True


def receive(connection: _socket.socket) -> ForkRequest | None:
    """Read a request. None: the client only checked that the server listens, or went away in the middle."""
    connection.settimeout(RECEIVE_SECONDS)
    try:
        _, ancillary, _, _ = connection.recvmsg(1, _socket.CMSG_SPACE(DESCRIPTORS * _SIZE))
        text = b""
        while piece := connection.recv(1 << 16):
            text += piece
            if len(text) > LONGEST_REQUEST:
                return None
    except OSError:
        return None
    if not text:
        return None
    directory, count, *words = map(os.fsdecode, text.split(b"\0")[:-1])
    command, variables = words[: int(count)], words[int(count) :]
    environ = dict(variable.split("=", 1) for variable in variables)
    [(_, _, numbers)] = ancillary
    descriptors = tuple(
        int.from_bytes(numbers[start : start + _SIZE], sys.byteorder) for start in range(0, len(numbers), _SIZE)
    )
    return ForkRequest(command, environ, directory, descriptors)


def confirm(connection: _socket.socket, request: ForkRequest) -> None:
    """Confirm the fork: it holds the descriptors now, and the launcher may end."""
    for descriptor in request.descriptors:
        os.close(descriptor)
    connection.sendall(DONE)
