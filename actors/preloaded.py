"""Imports what owners, the supervisor, Serve's own actors and the API's replicas are made of, for the fork server. Its
children then have it from one place in memory, and start without importing it.

Some of these modules define actors, and for each such class Ray draws an id. All children of a process that has drawn
one would draw the same ids afterwards, so here those ids come from the kernel. NumPy, which Ray imports, would start a
thread, and a process with threads must not fork.
"""

import gc
import importlib
import os
from abc import ABC
from typing import Any, Generic, Protocol

MODULES = (
    "ray._common.pydantic_compat",
    "ray._private.arrow_serialization",
    "ray._private.workers.default_worker",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
    "ray.serve",
    "ray.serve._private.controller",
    "ray.serve._private.haproxy",
    "ray.serve._private.replica",
    "controlplane.api.app",
    "actors.supervisor.actor",
    "actors.tenant.actor",
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


def _annotate() -> None:
    """Give annotations to the bases that have none. Who asks first whether an object has a protocol would give them,
    and Python then forgets what it knew of the attributes of all their subclasses, which are 1,500 here: each child
    would do so, and learn it again."""
    for base in (ABC, Generic, Protocol):
        hasattr(base, "__annotations__")  # to be asked is what gives them


_import()
_annotate()
