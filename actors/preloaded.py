"""Imports what Ray's workers, Serve's own actors and the API's replicas are made of, for the fork server. Its children
then have it from one place in memory, and start without importing it.

Some of these modules define actors, and for each such class Ray draws an id. All children of a process that has drawn
one would draw the same ids afterwards, so here those ids come from the kernel. NumPy, which Ray imports, would start a
thread, and a process with threads must not fork.
"""

import gc
import importlib
import os
from typing import Any

MODULES = (
    "ray._private.workers.default_worker",
    "uvloop",
    "ray.serve",
    "ray.serve._private.controller",
    "ray.serve._private.haproxy",
    "ray.serve._private.replica",
    "controlplane.api.app",
)


def _import() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # nothing of this becomes garbage, and to look for some takes a quarter of the time
    actor: Any = importlib.import_module("ray.actor")  # the name is one of its own imports
    drawn = actor.ActorClassID

    class FromKernel:
        """In place of `ActorClassID`, for a while."""

        @staticmethod
        def from_random() -> Any:
            return drawn(os.urandom(drawn.size()))

    actor.ActorClassID = FromKernel
    try:
        for module in MODULES:
            importlib.import_module(module)
    finally:
        actor.ActorClassID = drawn
        gc.enable()


_import()
