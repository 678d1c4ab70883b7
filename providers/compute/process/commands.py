"""A command beside a tenant's own, and its end: when it ends by itself, is late, or writes more than is kept."""

import json
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from controlplane.errors import Unavailable
from providers.compute.process.ending import end_own
from providers.compute.process.machine import boot_id, look
from providers.compute.process.programs import begin
from providers.kit.commands import Running

VISITOR = Path(__file__).with_name("visitor.py")
CHUNK = 1 << 16


def run(
    directory: Path, launch: str, command: Sequence[str], secrets: Mapping[str, str], running: Running
) -> int | None:
    """Its exit code; if a signal ended it, 128 and its number. None: it was ended here, since its time was over or
    `running` has enough. What it has left in its session is ended with it. Blocks. Raises Unavailable if it was not
    run."""
    with begin(VISITOR, str(directory), launch, stdout=subprocess.PIPE) as visitor:
        seen = look(visitor.pid)
        try:
            # What the pipe does not hold waits for the visitor, which reads all of it before anything else.
            _tell(visitor, json.dumps({"command": list(command), "secrets": dict(secrets)}).encode())
            output = _output(visitor, running)
            begun = next(output, b"")
            running.take(output)
            ended = _has_ended(visitor)
        finally:
            visitor.kill()  # it may have no session yet
            end_own({"pid": visitor.pid, "boot": boot_id(), "start": seen.start if seen else 0})
    if not begun:
        raise Unavailable(
            f"{directory.name}: the command was not run: " + ("it has just ended" if ended else "too late")
        )
    if not ended:
        return None
    return visitor.returncode if visitor.returncode >= 0 else 128 - visitor.returncode


def _tell(visitor: "subprocess.Popen[bytes]", text: bytes) -> None:
    assert visitor.stdin is not None
    try:
        visitor.stdin.write(text)
        visitor.stdin.close()
    except BrokenPipeError:
        pass  # it has ended, which its output shows


def _output(visitor: "subprocess.Popen[bytes]", running: Running) -> Iterator[bytes]:
    """Its first byte, then the rest, until it has ended or the time is over. A child that it left behind, and that
    still has its stdout, is not waited for."""
    assert visitor.stdout is not None
    stdout, bytes_at_most = visitor.stdout.fileno(), 1
    end = os.pidfd_open(visitor.pid)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.register(stdout, select.POLLIN)
        while ready := {found for found, _ in poll.poll(running.left * 1000)}:
            if stdout not in ready:
                return
            if chunk := os.read(stdout, bytes_at_most):
                bytes_at_most = CHUNK
                yield chunk
            else:
                poll.unregister(stdout)
    finally:
        os.close(end)


def _has_ended(visitor: "subprocess.Popen[bytes]") -> bool:
    return os.waitid(os.P_PID, visitor.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
