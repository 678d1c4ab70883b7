"""The fork server: a process that has imported everything a worker needs, and forks one worker for each request.

`python -m actors.forkserver <socket>`, started on first use by `controlplane.local.worker`, which the raylet runs
instead of a new Python. There is one for each raylet, with the environment of the first worker that asked, but its
job. It ends when its raylet does; `up` ends it when there is new code.

A process must have one thread when it forks, so nothing here may start any: no event loop, no call to Ray. Nor may
anything draw one of Ray's random ids, which `ray.remote` does for a class: all later children would draw the same ones.
So modules that define actors are imported by `actors.preloaded` only, which gives those ids itself.
"""

import atexit
import gc
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

import actors.preloaded
import actors.tenant.runner  # noqa: F401
from controlplane import tracing
from controlplane.local.build import build_id
from controlplane.local.fork_protocol import ForkRequest, confirm, receive
from controlplane.local.hardening import hide
from controlplane.settings import load_settings
from providers import registry


def serve(path: Path, raylet: int) -> ForkRequest | None:
    """Fork until the raylet ends, then return None. In each child, return the request that it must become."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(128)
        ended = os.pidfd_open(raylet)
        while True:
            ready, _, _ = select.select([listener.fileno(), ended], [], [])
            if ended in ready:
                path.unlink(missing_ok=True)
                return None
            connection, _ = listener.accept()
            with connection:
                request = receive(connection)
                if request is not None and os.fork() == 0:
                    os.close(ended)
                    return request
                if request is not None:
                    confirm(connection, request)


def become(request: ForkRequest) -> NoReturn:
    """Run the worker as its interpreter would have, and end."""
    # The raylet ends a worker by its process group: in our group it would end all of them.
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for target, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environ)
    os.chdir(request.directory)
    random.seed()
    sys.argv = request.command
    sys.path[0] = str(Path(request.command[0]).parent)
    try:
        runpy.run_path(request.command[0], run_name="__main__")
    except SystemExit as ended:
        leave(ended.code)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(code: object) -> NoReturn:
    """End this process as `sys.exit(code)` would, without taking the interpreter apart: threads end, then the handlers
    of `atexit` run, then all is written.

    To free each object of a fork copies every page that it shares with its parent, which takes 0.1 s of CPU, as much
    as all that an owner does. `multiprocessing` ends its forks in this way too.
    """
    status = code if isinstance(code, int) else 0 if code is None else 1
    try:
        if code is not None and code is not status:
            print(code, file=sys.stderr)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main() -> None:
    hide()
    # The build of a child follows from the code in memory, not from the code on the disk when the child is made.
    build_id()
    settings = load_settings()
    registry.import_enabled(settings)
    tracing.prepare(settings.otlp_endpoint)
    assert threading.active_count() == 1, "only a process with one thread may fork"
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    request = serve(Path(sys.argv[1]), int(os.environ["RAY_RAYLET_PID"]))
    if request is not None:
        become(request)


if __name__ == "__main__":
    main()
