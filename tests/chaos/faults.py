"""What is done to an installation. Each fault names itself in the log of a run; those that end a whole part are
followed by `landlord up`, as a person or an init system would.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil

from controlplane.model import Action
from tests.e2e.installation import Installation
from tests.engines import bounce_docker
from tests.processes import kill, named, send, such, title, titled

Fault = Callable[[Installation, random.Random], Awaitable[str]]

COMES_BY_SECONDS = 8.0
"""Under load, so long at most until an actor lives or a step comes to a point: there are clients that create, change
and delete all the time."""


def tenant_actors(installation: Installation) -> list[psutil.Process]:
    """Also those in the middle of a step: while a call runs, Ray titles the process by its name, `acme/update/plan`."""

    def owns(process: psutil.Process) -> bool:
        said = title(process)
        return said.startswith(("ray::Tenant", "ray::tenant")) or any(f"/{action}/" in said for action in Action)

    return such(owns, installation.processes())


async def _come_by(there: Callable[[], bool]) -> bool:
    """False: it did not happen in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(COMES_BY_SECONDS):
            while not there():  # noqa: ASYNC110, it happens in other processes
                await asyncio.sleep(0.05)
            return True
    return False


async def _some_actors(installation: Installation) -> list[psutil.Process]:
    await _come_by(lambda: bool(tenant_actors(installation)))
    return tenant_actors(installation)


async def kill_a_tenant_actor(installation: Installation, rng: random.Random) -> str:
    actors = await _some_actors(installation)
    return f"killed {kill(rng.sample(actors, 1)) if actors else 0} of {len(actors)} tenant actors"


async def kill_all_tenant_actors(installation: Installation, rng: random.Random) -> str:
    actors = await _some_actors(installation)
    return f"killed {kill(actors)} tenant actors"


async def kill_the_supervisor(installation: Installation, rng: random.Random) -> str:
    supervisors = titled(("ray::Supervisor", "ray::supervisor"), installation.processes())
    return f"killed {kill(supervisors)} supervisor"


async def kill_a_replica(installation: Installation, rng: random.Random) -> str:
    replicas = titled("ray::ServeReplica", installation.processes())
    return f"killed {kill(rng.sample(replicas, 1)) if replicas else 0} of {len(replicas)} replicas"


async def pause_an_actor(installation: Installation, rng: random.Random) -> str:
    """SIGSTOP for some seconds in the middle of whatever it does."""
    actors = await _some_actors(installation)
    if not actors:
        return "no actor to pause"
    chosen = rng.sample(actors, 1)
    send(signal.SIGSTOP, chosen)
    await asyncio.sleep(3)
    send(signal.SIGCONT, chosen)
    return "paused a tenant actor for 3 s"


async def fail_before_the_effect(installation: Installation, rng: random.Random) -> str:
    """The platform does not answer, and has done nothing."""
    return await _armed(installation, "apply_compute.before_effect", "fail")


async def execute_and_time_out(installation: Installation, rng: random.Random) -> str:
    """It is done, and the caller is told that the platform does not answer."""
    point = rng.choice(["apply_compute.before_record", "destroy_compute.after_effect", "wait_healthy.after_switch"])
    return await _armed(installation, point, "fail")


async def kill_in_the_middle_of_an_effect(installation: Installation, rng: random.Random) -> str:
    return await _armed(installation, f"apply_compute.gate_{rng.randint(1, 3)}", "kill")


async def hold_a_step(installation: Installation, rng: random.Random) -> str:
    """Whoever comes by waits in the middle of making its resource, and goes on much later."""
    place = rng.choice(["gate", "past_gate"])  # before the rows are asked, or with their answer in hand
    point = installation.failpoints / f"apply_compute.{place}_{rng.randint(1, 3)}"
    reached = point.with_name(f"{point.name}.reached")
    point.write_text("hold")
    held = await _come_by(reached.exists)
    if held:
        await asyncio.sleep(4)
    point.unlink(missing_ok=True)
    reached.unlink(missing_ok=True)
    return f"held {'a step' if held else 'nobody'} at {point.name}"


async def _armed(installation: Installation, point: str, what: str) -> str:
    """Until a step has come by."""
    armed = installation.failpoints / point
    armed.write_text(what)
    if await _come_by(lambda: not armed.exists()):
        return f"{what} at {point}"
    armed.unlink(missing_ok=True)
    return f"nobody came by {point}"


async def bounce_docker_engine(installation: Installation, rng: random.Random) -> str:
    """Stopped, with its containers, and started again."""
    ours = await asyncio.to_thread(bounce_docker, rng.uniform(0, 2))
    return "Docker Engine stopped and started" if ours else "this Docker Engine is not ours to stop"


async def kill_postgres(installation: Installation, rng: random.Random) -> str:
    killed = kill(installation.postgres_processes())
    await asyncio.sleep(1)
    await asyncio.to_thread(installation.up)
    return f"killed {killed} Postgres processes, up again"


async def kill_the_raylet(installation: Installation, rng: random.Random) -> str:
    killed = kill(named("raylet", installation.processes()))
    await asyncio.sleep(1)
    await asyncio.to_thread(installation.up)
    return f"killed {killed} raylet, up again"


async def kill_everything(installation: Installation, rng: random.Random) -> str:
    killed = kill(installation.processes()) + kill(installation.postgres_processes())
    await asyncio.to_thread(installation.up)
    return f"killed all {killed} processes, up again"


SMALL: tuple[Fault, ...] = (
    kill_a_tenant_actor,
    kill_all_tenant_actors,
    kill_the_supervisor,
    kill_a_replica,
    pause_an_actor,
    fail_before_the_effect,
    execute_and_time_out,
    kill_in_the_middle_of_an_effect,
    hold_a_step,
)
LARGE: tuple[Fault, ...] = (kill_postgres, kill_the_raylet, kill_everything, bounce_docker_engine)
