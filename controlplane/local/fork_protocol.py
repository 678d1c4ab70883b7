"""The protocol between a launcher (`controlplane.local.worker`) and a fork server (`actors.forkserver`).

One connection to a Unix socket for each worker: a byte that carries the launcher's descriptors 0 to 2, then a JSON
object {command, environ, directory}, then the end of the request. The answer is DONE once the worker is forked.

Standard library only, and only modules of it that import fast: a launcher lives for about 20 ms, and `dataclasses`
alone would take 10.
"""

import json
import os
import socket

DONE = b"forked"

LONGEST_REQUEST = 1 << 22
"""Longest request in bytes: an environment and a command line."""

RECEIVE_SECONDS = 5.0


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
    request = {"command": command, "environ": dict(os.environ), "directory": os.getcwd()}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server)
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(len(DONE)) == DONE


def listens(server: str) -> bool:
    """True if a server would answer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server)
            return True
    except OSError:
        return False


def receive(connection: socket.socket) -> ForkRequest | None:
    """Read a request. None: the client only checked that the server listens, or went away in the middle."""
    connection.settimeout(RECEIVE_SECONDS)
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        text = b""
        while piece := connection.recv(1 << 16):
            text += piece
            if len(text) > LONGEST_REQUEST:
                return None
    except OSError:
        return None
    return ForkRequest(**json.loads(text), descriptors=tuple(descriptors)) if text else None


def confirm(connection: socket.socket, request: ForkRequest) -> None:
    """Confirm the fork: it holds the descriptors now, and the launcher may end."""
    for descriptor in request.descriptors:
        os.close(descriptor)
    connection.sendall(DONE)
