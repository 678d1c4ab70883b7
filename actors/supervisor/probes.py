"""Probes of tenants at rest, in bulk. A probe only nominates: the tenant's own actor decides, under its lease."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from actors.supervisor.nominations import Nominations
from actors.supervisor.queue import Priority
from controlplane.model import HealthSpec
from controlplane.persistence.resting import Serving
from controlplane.ports import Prober, ProbeResult, Resource

AT_ONCE = 50
"""The number of probes of each lane under way at once."""

QUICK_SECONDS = 5.0
"""Time-out of one probe in the quick lane, whatever its spec allows; the slow lane allows the whole time."""

Resting = Mapping[str, tuple[Serving, Resource]]
"""Serving execution → the serving facts, and the resource that was listed for it."""


class BulkProber(Prober, Protocol):
    """A Prober that says what needs no asking, since most of a large fleet may need none."""

    def known(self, resource: Resource, health: HealthSpec) -> ProbeResult | None:
        """The result, if the resource as it was observed says it all. None: the tenant must be asked."""
        ...


class RestingProbes:
    """Two lanes, each a stage of its own. `quick`: for tenants that answered their last probe in time, or were never
    probed. `slow`: for those that did not.

    Promises: a hanging tenant waits only for other hanging ones, and never delays the probe of a tenant that answers.
    In each lane the longest-waiting tenant is probed first, so if a round is cut short, the next one continues it.
    """

    def __init__(
        self,
        prober: BulkProber,
        nominations: Nominations,
        resting: Callable[[], Resting],
        live: Collection[str],
        rest_probe_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resting`: the tenants listed by the last sweep of the platforms. `live`: names of the tenants with live
        actors in this cluster, which probe themselves. `rest_probe_seconds`: the shortest interval at rest."""
        self._resting = resting
        self._prober = prober
        self._nominations = nominations
        self._live = live
        self._slowest = rest_probe_seconds
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._hung: set[str] = set()

    async def quick(self) -> int:
        return await self._round(hung=False)

    async def slow(self) -> int:
        return await self._round(hung=True)

    async def _round(self, *, hung: bool) -> int:
        resting = self._resting()
        self._asked = {id: at for id, at in self._asked.items() if id in resting}
        self._hung.intersection_update(resting)
        due = [id for id, (serving, _) in resting.items() if (id in self._hung) is hung and self._is_due(id, serving)]
        due.sort(key=self._last_asked)
        asked = [id for id in due if not self._is_known(id, *resting[id])]
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._probe(id, *resting[id], slots) for id in asked))
        return len(due)

    def _last_asked(self, id: str) -> float:
        return self._asked.get(id, float("-inf"))

    def _is_due(self, id: str, serving: Serving) -> bool:
        interval = max(serving.health.interval_seconds, self._slowest)
        return serving.tenant.name not in self._live and self._clock() - self._last_asked(id) >= interval

    def _is_known(self, id: str, serving: Serving, resource: Resource) -> bool:
        """True if it need not be asked, and what is known of it is noted."""
        result = self._prober.known(resource, serving.health)
        if result is not None:
            self._note(id, serving, result)
        return result is not None

    async def _probe(self, id: str, serving: Serving, resource: Resource, slots: asyncio.Semaphore) -> None:
        async with slots:
            result = await self._ask(id, serving, resource)
        if result is not None:
            self._note(id, serving, result)

    def _note(self, id: str, serving: Serving, result: ProbeResult) -> None:
        self._asked[id] = self._clock()
        if result.healthy is False:
            # Its owner heals the one and waits for the other, so a change between them is news.
            self._nominations.found(serving, "recovering" if result.recovering else "unhealthy")
        elif result.healthy:
            self._nominations.probed_well(serving.tenant)
            if serving.degraded:
                # It seems well again: let its actor decide.
                self._nominations.nominate(serving.tenant, Priority.DRIFT)

    async def _ask(self, id: str, serving: Serving, resource: Resource) -> ProbeResult | None:
        """None: it did not answer in the time of the quick lane, and belongs to the slow lane from now on."""
        begun = self._clock()
        try:
            async with asyncio.timeout(None if id in self._hung else QUICK_SECONDS):
                result = await self._prober.probe(resource, serving.health)
        except TimeoutError:
            self._hung.add(id)
            return None
        if self._clock() - begun < QUICK_SECONDS:
            self._hung.discard(id)
        return result
