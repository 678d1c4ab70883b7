"""What is done to an installation. Each fault names itself in the log of a run; those that end a whole part are
followed by `landlord up`, as a person or an init system would.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil

from tests.e2e.installation import Installation

Fault = Callable[[Installation, random.Random], Awaitable[str]]


def _titled(installation: Installation, title: str) -> list[psutil.Process]:
    found = []
    for process in installation.processes():
        with suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith(title):
                found.append(process)
    return found


def tenant_actors(installation: Installation) -> list[psutil.Process]:
    return _titled(installation, "ray::Tenant") + _titled(installation, "ray::tenant")


def _kill(processes: list[psutil.Process], sent: signal.Signals = signal.SIGKILL) -> int:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, sent)
    return len(processes)


async def kill_a_tenant_actor(installation: Installation, rng: random.Random) -> str:
    actors = tenant_actors(installation)
    return f"killed {_kill(rng.sample(actors, 1)) if actors else 0} of {len(actors)} tenant actors"


async def kill_all_tenant_actors(installation: Installation, rng: random.Random) -> str:
    actors = tenant_actors(installation)
    return f"killed {_kill(actors)} tenant actors"


async def kill_the_supervisor(installation: Installation, rng: random.Random) -> str:
    supervisors = _titled(installation, "ray::Supervisor") + _titled(installation, "ray::supervisor")
    return f"killed {_kill(supervisors)} supervisor"


async def kill_a_replica(installation: Installation, rng: random.Random) -> str:
    replicas = _titled(installation, "ray::ServeReplica")
    return f"killed {_kill(rng.sample(replicas, 1)) if replicas else 0} of {len(replicas)} replicas"


async def pause_an_actor(installation: Installation, rng: random.Random) -> str:
    """SIGSTOP for some seconds in the middle of whatever it does."""
    actors = tenant_actors(installation)
    if not actors:
        return "no actor to pause"
    chosen = rng.sample(actors, 1)
    _kill(chosen, signal.SIGSTOP)
    await asyncio.sleep(3)
    _kill(chosen, signal.SIGCONT)
    return "paused a tenant actor for 3 s"


async def kill_postgres(installation: Installation, rng: random.Random) -> str:
    killed = _kill(installation.postgres_processes())
    await asyncio.sleep(1)
    await asyncio.to_thread(installation.up)
    return f"killed {killed} Postgres processes, up again"


async def kill_the_raylet(installation: Installation, rng: random.Random) -> str:
    killed = _kill([p for p in installation.processes() if p.name() == "raylet"])
    await asyncio.sleep(1)
    await asyncio.to_thread(installation.up)
    return f"killed {killed} raylet, up again"


async def kill_everything(installation: Installation, rng: random.Random) -> str:
    killed = _kill(installation.processes()) + _kill(installation.postgres_processes())
    await asyncio.to_thread(installation.up)
    return f"killed all {killed} processes, up again"


SMALL: tuple[Fault, ...] = (
    kill_a_tenant_actor,
    kill_all_tenant_actors,
    kill_the_supervisor,
    kill_a_replica,
    pause_an_actor,
)
LARGE: tuple[Fault, ...] = (kill_postgres, kill_the_raylet, kill_everything)
