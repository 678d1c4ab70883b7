"""Health of the resource that serves a tenant: single probes, and with thresholds a verdict."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.lifecycle.owner_state import Finding
from controlplane.model import Execution, HealthSpec
from controlplane.ports import Prober, ProbeResult, Resource, ResourceState, RunContext
from controlplane.steps.upkeep import Upkeep

OBSERVE_SECONDS = 10.0

LOOPING = 3
"""A resource that nobody probes, and that has been started again before each of so many looks, counts as failing: its
platform is restarting it in a loop. One restart by a person is none."""


@dataclass(frozen=True, slots=True)
class _Seen:
    execution_id: str
    context: RunContext
    resource: Resource
    at: float


class Observer:
    """Looks at the serving resource. While that is well, the rows are asked at most every OBSERVE_SECONDS, and so is
    the platform of a resource that answers probes itself: asking a platform each second costs more than the tenant.
    After a bad answer both are asked at once."""

    def __init__(self, upkeep: Upkeep, prober: Prober, clock: Callable[[], float] = time.monotonic) -> None:
        self._upkeep = upkeep
        self._prober = prober
        self._clock = clock
        self._seen: _Seen | None = None

    def forget(self) -> None:
        """The next look asks the platform."""
        self._seen = None

    async def look(self, execution: Execution) -> tuple[Resource | None, ProbeResult]:
        """The resource (None: there is none), and the result of its probe. Raises Unavailable."""
        health, now, seen = execution.spec.health, self._clock(), self._seen
        if seen and seen.execution_id == execution.id and now - seen.at < OBSERVE_SECONDS:
            answers_itself = health.http is not None or health.tcp is not None
            resource, result = await self._again(execution, seen, answers_itself=answers_itself)
            if result.healthy:
                return resource, result
        context = await self._upkeep.context(execution)
        resource, result = await self._upkeep.observe(execution, context)
        self._seen = _Seen(execution.id, context, resource, now) if resource is not None else None
        return resource, result

    async def _again(
        self, execution: Execution, seen: _Seen, *, answers_itself: bool
    ) -> tuple[Resource | None, ProbeResult]:
        if answers_itself:
            return seen.resource, await self._prober.probe(seen.resource, execution.spec.health)
        return await self._upkeep.observe(execution, seen.context)


class HealthTracker:
    """Counts probes of one serving execution in a row; another serving execution starts from zero. A resource that
    reports "starting" for longer than its start period plus `unhealthy_threshold` probes counts as failing: its
    platform is restarting it in a loop."""

    def __init__(self) -> None:
        self._execution: str | None = None
        self._good = 0
        self._bad = 0
        self._unknown = 0
        self._recovering = False
        self._launch = ""
        self._restarts = 0

    def judge(self, execution: Execution, epoch: int, resource: Resource | None, result: ProbeResult) -> Finding:
        """The finding of one look, begun at `epoch`."""
        if self._execution != execution.id:
            self._execution, self._good, self._bad, self._unknown = execution.id, 0, 0, 0
            self._recovering, self._launch, self._restarts = False, "", 0
        health = execution.spec.health
        if resource is not None and health.lasting(checked=resource.checked) > 0:
            result = self._lasting(resource, result)
        if result.healthy is not None:
            self._recovering = result.recovering
        if result.healthy is True:
            self._good, self._bad, self._unknown = self._good + 1, 0, 0
        elif result.healthy is False:
            self._good, self._bad, self._unknown = 0, self._bad + 1, 0
        else:
            self._unknown += 1
            if (self._unknown - health.unhealthy_threshold) * health.interval_seconds > health.start_period_seconds:
                self._good, self._bad = 0, self._bad + 1
        return Finding(
            epoch=epoch,
            present=resource is not None,
            running=resource is not None and resource.state is not ResourceState.STOPPED,
            healthy=self._verdict(health),
            detail=result.detail,
            good=self._good,
            bad=self._bad,
            recovering=self._recovering,
        )

    def _lasting(self, resource: Resource, result: ProbeResult) -> ProbeResult:
        """The result, or a bad one if the resource does not last."""
        before, self._launch = self._launch, resource.launch or self._launch
        if before and self._launch != before:
            self._restarts += 1
        elif result.healthy:
            self._restarts = 0
        if self._restarts < LOOPING:
            return result
        return ProbeResult(False, result.detail if result.healthy is False else f"{resource.name} restarts in a loop")

    def _verdict(self, health: HealthSpec) -> bool | None:
        if self._good >= health.healthy_threshold:
            return True
        if self._bad >= health.unhealthy_threshold:
            return False
        return None
