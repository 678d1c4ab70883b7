"""Outposts: on each machine of the cluster but the head, an actor that sweeps the platforms of that machine.

Named `outpost:<node>`, detached. The supervisor makes it, and asks it at each of its own sweeps who its platforms are.
"""

import asyncio
import logging
import os
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from actors import machines
from actors.naming import NAMESPACE, SUPERVISOR, outpost_actor
from actors.nodes import Node
from actors.options import OUTPOST_CONNECTIONS, for_outpost
from actors.runtime import build_runtime
from actors.shared import SharedState
from actors.supervisor.clockwork import Clockwork, Stages
from actors.supervisor.nominations import Nominations
from actors.supervisor.probes import RestingProbes
from actors.supervisor.queue import Priority
from actors.supervisor.sweep import Sweep
from actors.supervisor.tasks import Tasks
from controlplane.persistence import compatibility
from controlplane.persistence.fleet import TenantKey

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""An outpost that does not say in this time who its platforms are is asked again at the next sweep."""


class Outpost:
    """Does for its machine what the supervisor does for the head: lists its platforms, removes what is left over,
    probes tenants at rest, and nominates at the supervisor those with a finding.

    Promises: it acts on this machine's platforms only. Nothing breaks it lastingly: another one starts from the rows.
    """

    async def __init__(self, node: str) -> None:  # type: ignore[misc]  # Ray awaits it
        self._node = node
        self._runtime = build_runtime(actor=repr(self), pool=OUTPOST_CONNECTIONS, share=SharedState, node=node)
        await compatibility.require(self._runtime.database)
        self._tasks = Tasks()
        self._live: set[str] = set()
        self._nominations = Nominations(self._nominate)
        self._sweep = Sweep(self._runtime, self._nominations, head=False)
        probes = RestingProbes(
            self._runtime.prober,
            self._nominations,
            lambda: self._sweep.resting,
            self._live,
            self._runtime.settings.rest_probe_seconds,
        )
        self._clockwork = Clockwork(self._runtime.settings.sweep_seconds)
        loops: tuple[Stages, ...] = (
            {"resources": self._sweep.resources},
            {"live": self._ask_live, "probes": probes.quick},
            {"slow_probes": probes.slow},
        )
        for stages in loops:
            self._tasks.begin(self._clockwork.loop(stages), f"sweeps: {', '.join(stages)}")

    def __repr__(self) -> str:
        return outpost_actor(self._node)

    async def describe(self) -> dict[str, Any]:
        """Plain: `platforms`, identity by provider, None: it has not answered yet; build, pid, the last sweep's
        stages."""
        return {
            "pid": os.getpid(),
            "build": self._runtime.identity.build,
            "platforms": self._sweep.platforms,
            "orphans": self._sweep.orphans,
            "sweep": self._clockwork.report,
        }

    async def use_compute(self, provider: str, verb: machines.Verb, *arguments: Any) -> Any:
        """A replica on another machine asks, for a client."""
        return await machines.use(self._runtime.compute, provider, verb, *arguments)

    def _nominate(self, tenant: TenantKey, priority: Priority) -> None:
        self._tasks.begin(self._told(tenant, priority), f"nominate {tenant.name}")

    async def _told(self, tenant: TenantKey, priority: Priority) -> None:
        try:
            await _supervisor().nominate.remote(str(tenant.id), tenant.name, int(priority))
        except (ValueError, RayError):
            self._nominations.not_woken(tenant)

    async def _ask_live(self) -> int:
        """Tenants with a live actor probe themselves."""
        with suppress(ValueError, RayError):
            found = set(await _supervisor().live.remote())
            self._live.clear()
            self._live.update(found)
        return len(self._live)


def _supervisor() -> Any:
    return ray.get_actor(SUPERVISOR, namespace=NAMESPACE)


OutpostActor = ray.remote(Outpost)


class Outposts:
    """The supervisor's view of the outposts."""

    def __init__(self, build: str) -> None:
        self._build = build
        self._handles: dict[str, Any] = {}
        """By Ray's id of the node."""

    async def look(self, nodes: list[Node]) -> dict[str, dict[str, str | None]]:
        """Make the missing ones on these nodes, and ask each: node's name → its platforms. Those that do not answer are
        left out. One of another build is replaced at the next look."""
        self._handles = {node.id: self._handle(node) for node in nodes}
        answers = await asyncio.gather(*(self._ask(node, self._handles[node.id]) for node in nodes))
        return {node.name: answer for node, answer in zip(nodes, answers, strict=True) if answer is not None}

    def _handle(self, node: Node) -> Any:
        known = self._handles.get(node.id)
        return known or OutpostActor.options(**for_outpost(node)).remote(node.name)

    async def _ask(self, node: Node, handle: Any) -> dict[str, str | None] | None:
        try:
            said = await asyncio.wait_for(handle.describe.remote(), ANSWER_SECONDS)
        except TimeoutError:
            return None
        except RayError as error:
            logger.warning("the outpost on %s does not answer (%s)", node.name, type(error).__name__)
            self._handles.pop(node.id, None)
            return None
        if said["build"] != self._build:
            logger.info("the outpost on %s is of build %s and is replaced", node.name, said["build"])
            ray.kill(handle)
            self._handles.pop(node.id, None)
        return dict(said["platforms"])
