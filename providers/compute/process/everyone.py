"""Signal all processes of one uid in one step. No fork escapes it: the kernel signals them under the lock that a fork
takes. Run as `python -I -S everyone.py UID SIGNAL` by root, in a process of its own, since it becomes that uid.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

SECONDS = 5.0


def signal_uid(uid: int, number: int) -> None:
    """Run this module for one signal. The caller must check and try again: a process of that uid may kill ours."""
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-I", "-S", os.path.abspath(__file__), str(uid), str(int(number))], {}
    )
    deadline = time.monotonic() + SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)  # it is held up by a process of that uid
            os.waitpid(pid, 0)
            return
        time.sleep(0.002)


def main(uid: int, number: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if uid < 1 or os.getresuid() != (uid, uid, uid):
        sys.exit(f"cannot become {uid}: no process is signalled")
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
