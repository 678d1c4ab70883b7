"""What a tenant runs that means harm: it tries, and says in one line of JSON for each try what it got. It is a tenant's
whole program, run as one, so it imports nothing of ours.

TARGETS in its environment, as JSON: `files` and `directories` of ours and of other tenants, `sockets`, `pids`, `ports`.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

PTRACE_ATTACH = 16
BINARY = "/proc/self/exe"


def main() -> None:
    targets = json.loads(os.environ["TARGETS"])
    for path in targets["files"]:
        attempt("read", path, lambda path=path: read(path))
        attempt("write", path, lambda path=path: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)))
    for path in targets["directories"]:
        attempt("list", path, lambda path=path: os.listdir(path))
        attempt("enter", path, lambda path=path: enter(path))
        attempt("plant", path, lambda path=path: os.mkdir(f"{path}/planted"))
        attempt("move", path, lambda path=path: os.rename(path, f"{path}.mine"))
    for path in targets["sockets"]:
        attempt("connect", path, lambda path=path: connect(path))
    for pid in targets["pids"]:
        for name in ("environ", "mem", "maps", "auxv"):
            attempt(name, pid, lambda pid=pid, name=name: read(f"/proc/{pid}/{name}"))
        for name in ("fd", "cwd", "root"):
            attempt(name, pid, lambda pid=pid, name=name: os.listdir(f"/proc/{pid}/{name}"))
        attempt("ptrace", pid, lambda pid=pid: call("ptrace", PTRACE_ATTACH, pid, 0, 0))
        for number in (0, signal.SIGSTOP, signal.SIGKILL):
            attempt(f"signal {number}", pid, lambda pid=pid, number=number: os.kill(pid, number))
        attempt("slow down", pid, lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt("kill my keeper", os.getppid(), lambda: os.kill(os.getppid(), signal.SIGKILL))
    attempt("become root", 0, lambda: os.setuid(0))
    attempt("join a group", 0, lambda: os.setgroups([0]))
    attempt("root by chroot", 0, lambda: os.chroot("/"))
    for port in targets["ports"]:
        attempt("call", port, lambda port=port: call_port(port))
    print(json.dumps({"what": "done", "target": "", "got": ""}), flush=True)


def attempt(what: str, target: object, do: Callable[[], Any]) -> None:
    try:
        got = repr(do())[:200]
    except (OSError, ValueError) as error:
        got = ""
        print(f"{what} {target}: {error}", file=sys.stderr)
    print(json.dumps({"what": what, "target": target, "got": got}), flush=True)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(100)


def enter(path: str) -> list[str]:
    os.chdir(path)
    try:
        return [name for name in ("token", "ray-token", "state.json", "t") if os.path.exists(name)]
    finally:
        os.chdir("/")


def connect(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return "connected"


def call(name: str, *arguments: int) -> int:
    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call_port(port: int) -> str:
    """What the server there answers to a stranger, in one word: only being served is something that it got."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /v1/tenants HTTP/1.0\r\n\r\n")
        status = connection.recv(1000).split(b" ")
    if len(status) < 2 or not status[1].startswith(b"2"):
        raise ValueError(f"refused: {status[:2]}")
    return status[1].decode()


if __name__ == "__main__":
    main()
