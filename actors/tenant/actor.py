"""TenantActor: the live owner of one tenant's row, named `tenant:<name>`.

The directory (Serve replicas) and the supervisor call it with wake-ups, it calls itself with steps, and operators call
`describe`. Its state comes from the database; the constructor takes only the name.
"""

import asyncio
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import ray

from actors import pressure
from actors.options import CONNECTIONS_PER_ACTOR
from actors.pressure import Reading
from actors.runtime import Runtime, build_runtime
from actors.shared import SharedState
from actors.tenant.mailbox import Mailbox
from actors.tenant.replay import Replay
from actors.tenant.runner import Runner
from actors.visible_steps import VisibleStepRunner
from controlplane.model import StepName
from controlplane.persistence import compatibility, leases
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import Wake

logger = logging.getLogger(__name__)

LONELY_SECONDS = 2.0
"""An actor that nobody has woken after this time wakes itself: whoever asked for it has given up before it started."""

EXIT_SECONDS = 10.0
"""A leaving process ends itself after this time, if it is still there."""

OVERDUE = 1
"""The exit code of such a process."""

RELEASE_SECONDS = 10.0
"""Time for giving the lease back. If the database does not take it, it expires by itself."""

LEAVING = "leaving"
"""The answer to a wake-up that came too late: the directory activates the tenant again."""


class TenantOwner:
    """Owns one tenant at a time: takes the lease, runs the runner, leaves.

    Promises: one runner, whatever the number of callers; methods take and return plain data. If it is called for
    another tenant id under the same name (the first tenant was deleted), it reloads. If it has lost its lease, has
    written `deleted` or was idle for long, it exits; until then it answers `leaving` to callers.
    """

    def __init__(self, name: str, node: str | None = None, wanted_by: str | None = None) -> None:
        """`node`: the one that it was placed on. `wanted_by`: the id of the tenant that it was started for."""
        self._name = name
        self._node = node
        self._wanted_by = wanted_by
        self._replay = Replay()
        self._run_step = VisibleStepRunner(self._replay.step)
        self._begun = time.monotonic()
        self._mailbox: Mailbox | None = None
        self._runtime: Runtime | None = None
        self._runner: Runner | None = None
        self._hurried = False
        """Other tenants wanted its place, maybe before its runner existed."""
        self._tenant_id: UUID | None = None
        self._life: asyncio.Task[None] | None = None
        self._left: asyncio.Event | None = None
        self._reason = "lonely"
        """Why it leaves, in a word; so far nobody has woken it."""

    def __repr__(self) -> str:
        return f"tenant:{self._name}"

    async def wake(
        self, tenant_id: str, execution_id: str | None = None, seconds: float | None = None
    ) -> dict[str, str]:
        """Mark it dirty. With an execution id, wait up to `seconds` for its start; without one, also look at reality.
        Returns {outcome, message}."""
        mailbox = self._live(UUID(tenant_id))
        if mailbox is None:
            return {"outcome": LEAVING, "message": "this actor is about to leave"}
        mailbox.mark_dirty(look=execution_id is None)
        if execution_id is None:
            return {"outcome": "started", "message": ""}
        wake = await mailbox.outcome(execution_id, seconds)
        return {"outcome": wake.outcome, "message": wake.message}

    async def run_step(self, execution_id: str, step: str) -> None:
        """This actor calls it itself, under the step's name. Raises the step's errors."""
        runtime = self._runtime
        assert runtime is not None, "only the runner's engine calls this"
        await runtime.steps.run(execution_id, StepName(step), self._run_step.signals(execution_id))

    async def until_leaving(self) -> dict[str, str]:
        """The supervisor holds this call open, so it notices at once when this actor dies or has left. By then the
        actor's database connections are given back, so that the ceiling of actors also bounds connections. Returns its
        {name, reason}."""
        left = self._leaving()
        if self._life is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(left.wait(), LONELY_SECONDS)
            if self._life is None and not left.is_set():
                if self._wanted_by is not None:
                    await self.wake(self._wanted_by)
                else:
                    left.set()
                    self._exit()
        await left.wait()
        if self._life is not None:
            await asyncio.wait([self._life])
        return {"name": self._name, "reason": self._reason}

    async def make_room(self) -> None:
        """Leave now if at rest: other tenants wait for a place."""
        self._hurried = True
        if self._runner is not None:
            self._runner.hurry()

    async def ping(self) -> str:
        """Answers once the process is up."""
        return "pong"

    async def pressure(self) -> Reading | None:
        """Answers once the process is up: how busy its machine is. None: its kernel does not count that."""
        return pressure.read()

    async def describe(self) -> dict[str, Any]:
        """For operators: its identity, what its rows said last (`replay.Replay`), and its present work. `age` in
        seconds, `memory` in bytes: resident, in part shared with other actors."""
        return {
            "name": self._name,
            "tenant_id": str(self._tenant_id) if self._tenant_id else None,
            "pid": os.getpid(),
            "node": ray.get_runtime_context().get_node_id(),
            "build": self._runtime.identity.build if self._runtime else None,
            "age": round(time.monotonic() - self._begun, 3),
            "memory": _resident_bytes(),
            "rows": dict(self._replay.rows),
            "doing": self._runner.doing if self._runner else [],
        }

    async def decisions(self, after: int = 0, seconds: float = 0.0) -> list[dict[str, Any]]:
        """For operators: its last decisions with a higher number than `after`, see `replay.Replay`. If there is none
        yet, waits so long for one, but not beyond its own leaving."""
        news = asyncio.ensure_future(self._replay.news(after, seconds))
        leaving = asyncio.ensure_future(self._leaving().wait())
        await asyncio.wait({news, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, leaving):
            task.cancel()
        return self._replay.read(after)

    async def leave(self) -> None:
        """This actor calls it itself at its end. Running calls may finish first."""
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    # --- its life ---

    def _live(self, tenant_id: UUID) -> Mailbox | None:
        """The mailbox of a live runner for that tenant, started now if this is the first call. None: the actor
        leaves."""
        if self._leaving().is_set() or (self._mailbox is not None and self._mailbox.closed):
            return None
        if self._life is None:
            self._tenant_id, self._mailbox = tenant_id, Mailbox()
            self._life = asyncio.create_task(self._live_and_leave(tenant_id, self._mailbox), name=f"life of {self!r}")
        elif self._tenant_id != tenant_id:
            # The name is used again while the actor of its former tenant is still here: let that one see it, then start
            # again.
            assert self._mailbox is not None, "a life has a mailbox"
            self._mailbox.mark_dirty()
            return None
        return self._mailbox

    async def _live_and_leave(self, tenant_id: UUID, mailbox: Mailbox) -> None:
        """Always ends with the exit of this process, whatever hangs or fails: a tenant whose name stays taken by a
        leaving actor cannot be activated again."""
        reason = self._reason = "failed"
        try:
            reason = self._reason = await self._own(tenant_id, mailbox)
        except Exception:
            logger.exception("%r cannot live", self)
        finally:
            logger.info("%r leaves: %s", self, reason)
            self._leaving().set()
            try:
                mailbox.abandon(f"the tenant's actor left ({reason})")
                if self._runtime is not None:
                    await self._runtime.close()
            except Exception:
                logger.exception("%r does not leave in good order", self)
            finally:
                self._exit()

    def _leaving(self) -> asyncio.Event:
        """Set once this actor leaves. Made on the actor's own loop, on which the constructor does not run."""
        if self._left is None:
            self._left = asyncio.Event()
        return self._left

    @staticmethod
    def _exit() -> None:
        """Leave by Ray's own way, which lets running calls finish. One that hangs, such as a step whose platform does
        not answer, does not keep this process."""
        overdue = threading.Timer(EXIT_SECONDS, os._exit, [OVERDUE])
        overdue.daemon = True
        overdue.start()
        ray.get_runtime_context().current_actor.leave.remote()

    async def _own(self, tenant_id: UUID, mailbox: Mailbox) -> str:
        """Take the lease, run under it, give it back."""
        runtime = self._runtime = build_runtime(
            actor=repr(self), run_step=self._run_step, pool=CONNECTIONS_PER_ACTOR, share=SharedState, node=self._node
        )
        cluster_id = runtime.identity.cluster_id
        actor_id = str(ray.get_runtime_context().get_actor_id())
        fence = await leases.acquire(runtime.database, tenant_id, cluster_id=cluster_id, actor_id=actor_id)
        if fence is None:
            return await compatibility.trouble(runtime.database) or "owned elsewhere"
        owned = OwnedTenant(runtime.database, tenant_id, fence, owner=repr(self))
        self._runner = Runner(owned, runtime, mailbox, self._replay)
        if self._hurried:
            self._runner.hurry()
        running = asyncio.create_task(self._runner.run(), name=f"runner of {self!r}")
        heartbeat = self._keep_lease(runtime, self._runner, tenant_id, fence)
        beating = asyncio.create_task(heartbeat, name=f"heartbeat of {self!r}")
        done, _ = await asyncio.wait({running, beating}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, beating):
            task.cancel()
        reason = running.result() if running in done else "lost"
        async with asyncio.timeout(RELEASE_SECONDS):
            await self._runner.give_back(reason)
        return reason

    async def _keep_lease(self, runtime: Runtime, runner: Runner, tenant_id: UUID, fence: int) -> None:
        """Renews the lease until another owner took it. If the database does not answer, that is no reason to stop: no
        owner can take the lease there either, and every write is fenced."""
        while True:
            await asyncio.sleep(leases.HEARTBEAT_SECONDS)
            try:
                if not await leases.renew(runtime.database, tenant_id, fence):
                    return
                if await leases.draining(runtime.database, runtime.identity.cluster_id):
                    runner.drain()
            except Exception:
                logger.warning("%r could not renew its lease", self, exc_info=True)


def _resident_bytes() -> int:
    """0 where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


TenantActor = ray.remote(TenantOwner)


def as_wake(answer: dict[str, str]) -> Wake | None:
    """The plain answer as a value. None: the actor leaves; ask again."""
    if answer["outcome"] == LEAVING:
        return None
    return Wake(answer["outcome"], answer["message"])  # type: ignore[arg-type]
