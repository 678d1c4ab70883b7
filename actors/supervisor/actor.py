"""SupervisorActor: the safety net. Named `supervisor`, detached, restarted for ever.

It admits activations, sweeps rows and resources every `LANDLORD_SWEEP_SECONDS`, and hears of due work by NOTIFY. The
sweep is the guarantee. NOTIFY, and the calls that it holds open on live actors, only make it faster.
"""

import logging
import os
from typing import Any
from uuid import UUID

import ray
from ray.util import list_named_actors

from actors import machines, nodes, raylet
from actors.directory import RayDirectory
from actors.naming import NAMESPACE, SUPERVISOR, name_of_tenant
from actors.options import SUPERVISOR_CONNECTIONS, for_supervisor
from actors.runtime import build_runtime
from actors.shared import SharedState
from actors.supervisor.admission import Admission
from actors.supervisor.clockwork import Clockwork, Stages
from actors.supervisor.drained import Drained
from actors.supervisor.engines import Engines
from actors.supervisor.figures import Figures, of_sweeps
from actors.supervisor.locations import Locations
from actors.supervisor.node_list import live_actors, living, node_list
from actors.supervisor.nominations import Nominations
from actors.supervisor.outpost import Outposts
from actors.supervisor.pool import Pool
from actors.supervisor.probes import RestingProbes
from actors.supervisor.queue import Priority
from actors.supervisor.replicas import Replicas
from actors.supervisor.reserve import reserved
from actors.supervisor.retention import Retention
from actors.supervisor.silent import SilentOwners
from actors.supervisor.sweep import Sweep
from actors.supervisor.tasks import Tasks
from actors.supervisor.waker import Waker
from controlplane.model import Action
from controlplane.persistence import compatibility, fleet, gauges, leases
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.listen import listen
from controlplane.persistence.nodes import Seen, of_others, saw, silent_nodes
from controlplane.persistence.resting import resting_on
from controlplane.persistence.slowest import slowest
from controlplane.persistence.transaction import WAKE_CHANNEL

logger = logging.getLogger(__name__)


class Supervisor:
    """Starts tenants that the API could not start, and mends drift.

    Promises: a due tenant is nominated within one sweep, and at once when its actor dies. Stages that ask only rows and
    actors do not wait for platforms and engines. Actors of another build leave as soon as they are at rest.
    `Admission`, `Pool`, `Waker` and `Clockwork` promise the rest. Nothing breaks it lastingly: a new supervisor starts
    from the rows and from Ray's list of names.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits it
        runtime = self._runtime = build_runtime(actor=SUPERVISOR, pool=SUPERVISOR_CONNECTIONS, share=SharedState)
        database = runtime.database
        await compatibility.require(database)
        self._draining = False
        self._tasks = Tasks()
        self._directory = RayDirectory()
        self._locations = Locations(pinned=bool(nodes.where(runtime.settings)))
        self._locations.look()
        self._outposts = Outposts(runtime.identity.build)
        self._pool = Pool(
            runtime.settings.warm_workers,
            self._tasks,
            lambda: raylet.addresses(head_only=self._locations.pinned),
            lambda: self._draining,
        )
        self._admission = Admission(
            database,
            self._directory,
            self._tasks,
            self._locations,
            cluster_id=runtime.identity.cluster_id,
            platforms=list(runtime.compute),
            reserve=reserved(list(runtime.workflow)),
            died=self._died,
            room=self._room,
            activation=self._pool.activation,
        )
        self._waker = Waker(database, self._directory, self._admission, self._tasks)
        self._nominations = Nominations(self._waker.nominate)
        self._sweep = Sweep(runtime, self._nominations)
        probes = RestingProbes(
            runtime.prober,
            self._nominations,
            lambda: self._sweep.resting,
            self._admission.live,
            runtime.settings.rest_probe_seconds,
        )
        self._clockwork = Clockwork(runtime.settings.sweep_seconds)
        self._inspected: set[str] = set()
        """The live actors of the last sweep whose build was asked for."""
        of_rows: Stages = {
            "heartbeat": self._beat,
            "nodes": self._see_nodes,
            "lost_nodes": self._see_lost,
            "pool": self._pool.fill,
            "drains": Drained(runtime, self._directory, self._locations, living).look,
            "actors": self._adopt,
            "owners": SilentOwners(database, self._cluster_id, self._admission.live, self._admission.end).look,
            "due": self._sweep.due,
            "retention": Retention(database, runtime.settings).run,
            "figures": Figures(runtime, self._figures, self._nodes).run,
        }
        if not runtime.settings.alone:
            of_rows["replicas"] = Replicas().fit
        of_platforms: Stages = {
            "resources": self._resources,
            "engines": Engines(runtime).look,
        }
        of_tenants: tuple[Stages, Stages] = ({"probes": probes.quick}, {"slow_probes": probes.slow})
        for stages in (of_rows, of_platforms, *of_tenants):
            self._tasks.begin(self._clockwork.loop(stages), f"sweeps: {', '.join(stages)}")
        self._tasks.begin(listen(database, WAKE_CHANNEL, self._waker.heard, self._clockwork.sweep_now), "listener")
        self._waker.start(self._nominations.not_woken)

    def __repr__(self) -> str:
        return SUPERVISOR

    async def ping(self) -> str:
        return "pong"

    async def activate(self, name: str) -> bool:
        """Create the tenant's actor, or find it. False: not now (there is no place for it, this cluster drains, another
        one owns the tenant). The intent is durable and waits."""
        if name in self._admission.live:
            return True
        return not self._draining and await self._admission.admit(name)

    async def nominate(self, tenant_id: str, name: str, priority: int) -> None:
        """An outpost has a finding about this tenant."""
        self._waker.nominate(TenantKey(UUID(tenant_id), name), Priority(priority))

    async def live(self) -> list[str]:
        """Names of the tenants with live actors in this cluster."""
        return sorted(self._admission.live)

    async def use_compute(self, provider: str, verb: machines.Verb, *arguments: Any) -> Any:
        """A replica on another machine asks, for a client."""
        return await machines.use(self._runtime.compute, provider, verb, *arguments)

    async def describe(self) -> dict[str, Any]:
        """For operators: live tenants, the queue, removals that have not returned, the last sweep's stages (seconds,
        count, error), build and pid."""
        return {
            "pid": os.getpid(),
            "build": self._runtime.identity.build,
            "cluster_id": self._cluster_id,
            "draining": self._draining,
            "live": sorted(self._admission.live),
            "ceiling": self._admission.ceiling,
            "queued": self._waker.queued,
            "orphans": self._sweep.orphans,
            "effects": self._sweep.effects,
            "sweep": self._clockwork.report,
        }

    async def slowest(self, action: str = "provision", within: float = 3600.0, most: int = 10) -> list[dict[str, Any]]:
        """For operators: the executions that took longest, see `persistence.slowest`. Times in seconds."""
        return await slowest(self._runtime.database, Action(action), within=within, most=most)

    @property
    def _cluster_id(self) -> str:
        return self._runtime.identity.cluster_id

    def _died(self, name: str) -> None:
        """The owner has died: its findings count as new at the next sweep, which begins at once."""
        self._nominations.died(name)
        self._clockwork.sweep_now()

    def _room(self) -> None:
        """A tenant was refused, and an actor has left since: search due tenants now, before the next sweep."""
        self._tasks.begin(self._clockwork.run("due", self._sweep.due), "there is room")

    def _figures(self) -> dict[str, Any]:
        return {
            "actors_live": len(self._admission.live),
            "actors_ceiling": self._admission.ceiling,
            "tenants_waiting": self._waker.queued,
            "activations": self._admission.activations.read(),
            "departures": self._admission.departures.read(),
            "starts_at_once": self._admission.pace.limits,
            "nodes": nodes.alive(),
            **of_sweeps(self._clockwork, self._sweep.breakers),
        }

    async def _nodes(self) -> list[dict[str, Any]]:
        found, pinned = nodes.known(), self._locations.pinned
        platforms = {
            name: {provider: identity for provider, identity in said.items() if identity is not None}
            for name, said in self._locations.platforms.items()
        }
        return node_list(
            found,
            pinned=pinned,
            actors=await live_actors(found, pinned, len(self._admission.live)),
            ceiling=self._admission.ceiling,
            platforms=platforms,
            tenants={name: await gauges.tenants_on(self._runtime.database, said) for name, said in platforms.items()},
        )

    # --- stages ---

    async def _see_nodes(self) -> int:
        """Look at the nodes, and write down what has changed. How many live."""
        found = self._locations.look()
        self._admission.pace.keep(node.name for node in found if node.alive)
        said = await self._outposts.look([node for node in found if self._locations.has_outpost(node)])
        enabled: dict[str, str | None] = dict.fromkeys(self._sweep.platforms)
        seen = [
            Seen(
                name=node.name,
                address=node.address,
                head=node.head,
                alive=node.alive,
                labels=node.labels,
                platforms=self._sweep.platforms if node.head else said.get(node.name, enabled if node.joined else {}),
                cpus=node.cpus,
            )
            for node in found
        ]
        self._locations.platforms = {one.name: one.platforms for one in seen}
        await saw(self._runtime.database, self._cluster_id, seen)
        living = [one.name for one in seen if one.alive]
        self._locations.of_others = await of_others(self._runtime.database, self._cluster_id, living)
        return sum(node.alive for node in found)

    async def _see_lost(self) -> int:
        """Nominate the tenants at rest that serve from a machine which does not answer: once, and once more when its
        grace is over. How many there are."""
        dead = {node.name for node in self._locations.found if not node.alive and not node.head}
        if not dead:
            return 0
        database, grace = self._runtime.database, self._runtime.settings.node_grace
        lost = {name: is_over for name, is_over in (await silent_nodes(database, grace)).items() if name in dead}
        found = await resting_on(database, lost)
        for serving in found:
            self._nominations.found(serving, "lost for good" if lost[serving.node or ""] else "lost")
        return len(found)

    async def _resources(self) -> int:
        """If a platform has said for the first time who it is, the nodes' rows say so at once."""
        known = set(self._sweep.identities)
        removed = await self._sweep.resources()
        if known != set(self._sweep.identities):
            self._tasks.begin(self._clockwork.run("nodes", self._see_nodes), "platforms are known")
        return removed

    async def _beat(self) -> int:
        detail = {"live": len(self._admission.live), "build": self._runtime.identity.build, "pid": os.getpid()}
        await fleet.beat(self._runtime.database, self._cluster_id, detail)
        self._admission.reserve = reserved(list(self._runtime.workflow), max(1, nodes.alive().get("alive", 1)))
        await self._admission.measure()
        self._draining = await leases.draining(self._runtime.database, self._cluster_id)
        return 1

    async def _adopt(self) -> int:
        """Adopt live actors that this supervisor, after a restart, does not know yet. An actor without a tenant leaves
        by itself."""
        named = list_named_actors(all_namespaces=True)
        names = (name_of_tenant(actor["name"]) for actor in named if actor["namespace"] == NAMESPACE)
        tenants = {name for name in names if name is not None}
        await self._admission.adopt(tenants)
        for tenant in tenants - self._inspected:
            self._tasks.begin(self._replace(tenant), f"replace: {tenant}")
        self._inspected = tenants
        self._admission.ask_again()
        return len(tenants)

    async def _replace(self, name: str) -> None:
        """Replace an actor that runs other code than this one: it finishes its work and leaves. If its tenant is due,
        it comes back with this code."""
        build = await self._directory.build(name)
        if build is not None and build != self._runtime.identity.build:
            logger.info("the actor of %s is of build %s and leaves as soon as it is at rest", name, build)
            await self._directory.make_room(name)


SupervisorActor = ray.remote(Supervisor)


def ensure_supervisor() -> Any:
    """The supervisor's handle. If there is no supervisor, it is created. Blocks for some milliseconds."""
    return SupervisorActor.options(**for_supervisor()).remote()
