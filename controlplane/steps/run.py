"""The steps of an execution, the same for every workflow engine.

A runner (the embedded provider's actor, Restate's handler, a step worker) calls `Steps.run(execution_id, step)` with
nothing but ids; the rest is read from rows. Each side effect is: intent (placement row) → gate → effect → gate. A
runner whose attempt fails only reports: another runner of the same execution may be succeeding. Restarted runners
observe before they act, so a crash between an effect and its record heals by adoption.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace

from controlplane import tracing
from controlplane.errors import (
    DeadlineExceeded,
    HeldByOthers,
    LandlordError,
    NotAvailableYet,
    NotCurrent,
    Retryable,
    Terminal,
    WaitsFor,
)
from controlplane.failpoints import Failpoints
from controlplane.model import HealthSpec, Observed, Placement, Status, StepName
from controlplane.ports import (
    Clock,
    ComputeProvider,
    DesiredResource,
    ExecutionStore,
    KeepsBelongings,
    Prober,
    ProbeResult,
    Resource,
    ResourceState,
    Restarts,
    RunContext,
    StepSignals,
)
from controlplane.steps.elsewhere import Elsewhere
from controlplane.steps.platforms import Platforms
from controlplane.steps.probes import Probes

logger = logging.getLogger(__name__)

THINNING = 0.02
"""An engine that keeps every probe in a history probes again after this share of the time waited so far, at least. A
start of 24 hours is some hundreds of probes, and a tenant that comes up is seen late by at most this share."""


_AT_WORK = (ResourceState.RUNNING, ResourceState.STARTING)


class Steps:
    """Runs steps on the enabled compute providers. Holds no state of any execution."""

    def __init__(
        self,
        store: ExecutionStore,
        platforms: Platforms,
        prober: Prober,
        clock: Clock,
        failpoints: Failpoints,
        *,
        node: str | None = None,
        node_grace: float | None = None,
        timeout_seconds: float = 600.0,
        watch: Callable[[str, StepName], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        """`node`, `node_grace`: see `Elsewhere`. `timeout_seconds`: bound of one attempt at a step; wait_healthy has
        the deadline of its spec instead. `watch`: entered around each attempt, in wait_healthy around each call; it may
        write down that it takes long."""
        self._store = store
        self._platforms = platforms
        self._prober = prober
        self._clock = clock
        self._failpoints = failpoints
        self._node = node
        self._elsewhere = Elsewhere(store, clock, node, node_grace)
        self._timeout_seconds = timeout_seconds
        self._watch = watch or (lambda *_: nullcontext())
        self._verbs: Mapping[StepName, Callable[[str, StepSignals], Awaitable[None]]] = {
            StepName.PLAN: self._plan,
            StepName.APPLY_COMPUTE: self._apply_compute,
            StepName.WAIT_HEALTHY: self._wait_healthy,
            StepName.RETIRE_PREVIOUS: self._retire_previous,
            StepName.DESTROY_COMPUTE: self._destroy_compute,
            StepName.VERIFY_GONE: self._verify_gone,
        }

    async def run(self, execution_id: str, step: StepName, signals: StepSignals) -> None:
        """Do one step. Raises NotCurrent (stop, report), Retryable (also if the step takes too long) or Terminal."""
        # Without this bound, a provider whose calls have none would hold a delete for ever, since a delete has no
        # deadline.
        seconds = None if step is StepName.WAIT_HEALTHY else self._timeout_seconds
        # The watch goes on after the bound: an effect that does not return is still waited for.
        watch = nullcontext() if step is StepName.WAIT_HEALTHY else self._watch(execution_id, step)
        async with (
            watch,
            self._traced(execution_id, step),
            self._clock.bound(seconds, Retryable(f"{step} took longer than {self._timeout_seconds:g} s")),
        ):
            await self._verbs[step](execution_id, signals)

    async def probe_once(self, execution_id: str, before: Probes) -> Probes:
        """One round of wait_healthy, for engines that sleep durably between two probes. Begin with `Probes()`, pass in
        the last result, and end when `again` is None. The probes thin out. Raises NotCurrent, Retryable or Terminal."""
        async with self._traced(execution_id, StepName.WAIT_HEALTHY):
            return await self._probe_round(await self._context_to_make(execution_id), before, thinning=THINNING)

    @asynccontextmanager
    async def _traced(self, execution_id: str, step: StepName) -> AsyncIterator[None]:
        """In the trace that the execution's row names, whoever orders the step."""
        if not tracing.on():
            yield
            return
        execution = (await self._store.context(execution_id)).execution
        named = {"execution": execution_id, "tenant": execution.tenant_name, "engine": execution.engine}
        with tracing.span(f"step {step}", parent=execution.traceparent, root=True, **named):
            yield

    # --- provision and update ---

    async def _plan(self, execution_id: str, signals: StepSignals) -> None:
        context = await self._context_to_make(execution_id)
        spec = context.execution.spec
        self._platforms.enabled(spec.compute.provider).validate(spec.compute.config, spec.health)

    async def _apply_compute(self, execution_id: str, signals: StepSignals) -> None:
        context = await self._context_to_make(execution_id)
        if context.execution.in_place:
            await self._restart(context)
        else:
            await self._apply(context)

    async def _restart(self, context: RunContext) -> None:
        """Restart the resource that serves. If the runner dies in between, the next one restarts it once more."""
        provider = await self._platforms.of(context)
        resource = await provider.observe(context.origin)
        if resource is None:
            raise self._gone(context)
        await self._check_gate(context.execution.id)
        if isinstance(provider, Restarts):
            await provider.restart(resource.id)
        else:
            await provider.stop(resource.id)
            await self._failpoints.reach("restart.stopped")
            await self._check_gate(context.execution.id)
            await provider.start(resource.id)
        await self._check_gate(context.execution.id)

    @staticmethod
    def _gone(context: RunContext) -> Terminal:
        return Terminal(f"{context.origin.name} is gone, so it cannot be restarted in place")

    async def _apply(self, context: RunContext) -> Resource:
        execution = context.execution
        compute = execution.spec.compute
        provider = self._platforms.enabled(compute.provider)
        origin = context.origin
        identity = await provider.identity()
        self._platforms.stays(context, identity, self._elsewhere.here(context, context.placements))
        if not await self._store.intend(context, compute.provider, identity, origin.name):
            raise self._not_current(execution.id)
        gate = _RowGate(self._store, self._failpoints, execution.id, lambda: self._step_aside(context))
        try:
            await self._failpoints.reach("apply_compute.before_effect")
            desired = DesiredResource(origin, compute.config, execution.spec.health, execution.fresh)
            with tracing.span(f"apply at {compute.provider}"):
                resource = await provider.apply(desired, gate)
        except LandlordError as error:
            made = error.made if isinstance(error, NotCurrent) else None
            if made is not None and await self._store.removable(execution.id):
                await provider.destroy(made)
            await self._forget_if_deleted(execution.id, provider)
            raise
        await self._failpoints.reach("apply_compute.before_record")
        await self._store.placed(execution.id, resource.id)
        return resource

    async def _forget_if_deleted(self, execution_id: str, provider: ComputeProvider) -> None:
        """If the tenant was deleted during a slow image pull, remove the volumes and networks that the pull left, even
        if no container was created."""
        if isinstance(provider, KeepsBelongings):
            context = await self._store.context(execution_id)
            if context.tenant.status is Status.DELETED:
                await self._forget(context, provider)

    async def _step_aside(self, context: RunContext) -> bool:
        """If the new resource needs something that the serving one holds (a fixed port, say), stop the serving one.
        Never remove it."""
        before, after = context.previous, context.execution.spec.compute
        if before is None or before.spec.compute.provider != after.provider:
            return False
        provider = self._platforms.enabled(after.provider)
        if not provider.exclusive(before.spec.compute.config, after.config):
            return False
        here = self._elsewhere.here(context, context.placements)
        held = [p.resource_id for p in here if p.execution_id == before.id and p.resource_id is not None]
        for resource_id in held:
            await provider.stop(resource_id)
        return bool(held)

    async def _wait_healthy(self, execution_id: str, signals: StepSignals) -> None:
        """Probe until healthy `healthy_threshold` times in a row, and for as long as the spec wants, then switch. The
        deadline is durable: the step's row holds it."""
        context = await self._context_to_make(execution_id)
        probes = Probes()
        while True:
            probes = await self._probe_round(context, probes)
            signals.failing(probes.failing)
            if probes.again is None:
                return
            await signals.wait(probes.again)

    async def _probe_round(self, context: RunContext, before: Probes, thinning: float = 0.0) -> Probes:
        if context.serving:
            return Probes(again=None)
        health = context.execution.spec.health
        step = next((s for s in context.steps if s.name is StepName.WAIT_HEALTHY), None)
        begun = step.started_at if step and step.started_at else self._clock.now()
        attempt = step.attempts if step else 1
        if before.attempt != attempt:
            before = Probes(attempt=attempt)
            if attempt > 1:
                await self._start_again(context)
        resource, result = await self._probe(context)
        now = self._clock.now()
        seen = before.counted(resource, result, now)
        left = seen.left(health, resource, now)
        if left == 0:
            if not await self._store.switch(context.execution.id, self._observed(context, resource)):
                raise self._not_current(context.execution.id)
            await self._failpoints.reach("wait_healthy.after_switch")
            return replace(seen, failing=None, again=None)
        detail = result.detail if not result.healthy else _too_short(resource, seen)
        waited = (now - begun).total_seconds()
        if waited >= health.deadline_seconds:
            # If it had just been started again, its exit code says more than its last state.
            told = dict.fromkeys([step.error, detail] if step and step.error else [detail])
            raise DeadlineExceeded(f"not healthy after {health.deadline_seconds:g} s: {'; then '.join(told)}")
        if result.healthy is False and resource.state is ResourceState.STOPPED:
            raise Retryable(result.detail)
        if seen.loops(health, resource, waited):
            raise DeadlineExceeded(f"it does not last: {detail}")
        failing = seen.bad >= health.unhealthy_threshold and waited > health.start_period_seconds
        again = next_look(before.pause, health, waited, thinning)
        return replace(
            seen,
            pause=min(before.pause * 1.5, health.interval_seconds),
            failing=detail if failing else None,
            again=again if left is None else min(again, left),
        )

    async def _probe(self, context: RunContext) -> tuple[Resource, ProbeResult]:
        """One probe through the gate. A resource that vanished is applied again."""
        await self._check_gate(context.execution.id)
        provider = self._platforms.enabled(context.execution.spec.compute.provider)
        async with self._watch(context.execution.id, StepName.WAIT_HEALTHY):
            resource = await provider.observe(context.origin)
            if resource is None and context.execution.in_place:
                raise self._gone(context)
            if resource is None:
                resource = await self._apply(context)
        return resource, await self._prober.probe(resource, context.execution.spec.health)

    async def _start_again(self, context: RunContext) -> None:
        """In a later attempt, start a resource that has exited once more."""
        provider = self._platforms.enabled(context.execution.spec.compute.provider)
        async with self._watch(context.execution.id, StepName.WAIT_HEALTHY):
            resource = await provider.observe(context.origin)
            if resource is not None and resource.state is ResourceState.STOPPED:
                await self._check_gate(context.execution.id)
                await provider.start(resource.id)
                await self._check_gate(context.execution.id)

    def _observed(self, context: RunContext, resource: Resource) -> Observed:
        provider = self._platforms.enabled(context.execution.spec.compute.provider)
        return Observed(
            endpoints=resource.endpoints,
            resources={provider.resource_kind: resource.id},
            healthy=True,
            checked_at=self._clock.now(),
            node=self._node if provider.one_node else None,
        )

    async def _retire_previous(self, execution_id: str, signals: StepSignals) -> None:
        """Remove resources lower in (generation, run) than the serving one. Since the switch, this execution serves."""
        context = await self._store.context(execution_id)
        if context.execution.in_place:
            return  # it has replaced nothing
        if not context.serving:
            raise self._not_current(execution_id)
        lower = [p for p in context.placements if (p.generation, p.run) < context.execution.order]
        here = self._elsewhere.here(context, lower)
        await self._drain(context, here)
        await self._platforms.remove(context, here)
        await self._elsewhere.settled(context, lower)

    async def _drain(self, context: RunContext, lower: Sequence[Placement]) -> None:
        """Raises Retryable while one of these still runs, and has time left to serve those who have its address."""
        until = context.execution.drains_until
        left = (until - self._clock.now()).total_seconds() if until is not None else 0.0
        if until is None or left <= 0:
            return
        executions = {placement.execution_id for placement in lower}
        found = [resource for resource, _ in await self._platforms.resources(context, lower)]
        if any(r.state in _AT_WORK and r.origin.execution_id in executions for r in found):
            raise Retryable(
                f"what was replaced runs on until {until:%Y-%m-%dT%H:%M:%SZ}", delay=left, waits_for=WaitsFor.DRAINING
            )

    # --- delete ---

    async def _destroy_compute(self, execution_id: str, signals: StepSignals) -> None:
        context = await self._current_context(execution_id)
        for resource, provider in await self._resources(context):
            await self._check_gate(execution_id)
            await provider.destroy(resource.id)
            await self._failpoints.reach("destroy_compute.after_effect")

    async def _verify_gone(self, execution_id: str, signals: StepSignals) -> None:
        context = await self._current_context(execution_id)
        left = await self._resources(context)
        if left:
            await self._destroy_compute(execution_id, signals)
            left = await self._resources(context)
        if left:
            names = ", ".join(sorted(resource.name for resource, _ in left))
            raise Retryable(f"still there after it was destroyed: {names}")
        for name in await self._store.providers_used(execution_id):
            provider = self._platforms.get(name)
            if isinstance(provider, KeepsBelongings):
                await self._forget(context, provider)
        await self._elsewhere.settled(context, context.placements)
        for placement in self._elsewhere.here(context, context.placements):
            await self._store.removed(placement.execution_id)

    # --- shared by the steps, in the order they are called ---

    async def _resources(self, context: RunContext) -> list[tuple[Resource, ComputeProvider]]:
        """The tenant's resources on this machine's platforms, and on those that are on none."""
        return await self._platforms.resources(context, self._elsewhere.here(context, context.placements))

    @staticmethod
    async def _forget(context: RunContext, provider: KeepsBelongings) -> None:
        """A volume that a stranger's container uses holds up no delete: the sweep removes it once it is free, and says
        in the audit trail who uses it."""
        try:
            await provider.forget(context.installation_id, context.tenant.id)
        except HeldByOthers as error:
            logger.warning("of the deleted tenant %s: %s", context.tenant.name, error)

    async def _context_to_make(self, execution_id: str) -> RunContext:
        """For the steps until the switch, which need the spec. What this release reads as a default, because only a
        newer one can read it, is not what the client asked for: it is neither made nor found healthy."""
        context = await self._current_context(execution_id)
        if unreadable := context.execution.spec.unreadable:
            what = f"{', '.join(unreadable)} in the spec, which only a newer release can read: run that release"
            raise NotAvailableYet(what, waits_for=WaitsFor.NEWER_RELEASE)
        self._elsewhere.require_here(context)
        return context

    async def _current_context(self, execution_id: str) -> RunContext:
        context = await self._store.context(execution_id)
        if not context.current:
            raise self._not_current(execution_id)
        return context

    async def _check_gate(self, execution_id: str) -> None:
        if not await self._store.current(execution_id):
            raise self._not_current(execution_id)

    @staticmethod
    def _not_current(execution_id: str) -> NotCurrent:
        return NotCurrent(f"execution {execution_id} is no longer current", execution_id=execution_id)


def next_look(pause: float, health: HealthSpec, waited: float, thinning: float) -> float:
    """Seconds until wait_healthy probes again. Never past its deadline, at which the last probe is made."""
    return min(max(min(pause, health.interval_seconds), waited * thinning), health.deadline_seconds - waited)


def _too_short(resource: Resource, seen: Probes) -> str:
    """Healthy, but not for long enough."""
    if not seen.restarts:
        return f"{resource.name} is healthy, but not for long enough yet"
    times = "once" if seen.restarts == 1 else f"{seen.restarts} times"
    return f"{resource.name} was started again {times} since, without being healthy for long enough"


class _RowGate:
    """`ports.ExecutionGate` of one execution."""

    def __init__(
        self, store: ExecutionStore, failpoints: Failpoints, execution_id: str, make_way: Callable[[], Awaitable[bool]]
    ) -> None:
        self._store = store
        self._failpoints = failpoints
        self._execution_id = execution_id
        self._make_way = make_way
        self._asked = 0

    async def current(self) -> bool:
        self._asked += 1
        await self._failpoints.reach(f"apply_compute.gate_{self._asked}")
        current = await self._store.current(self._execution_id)
        await self._failpoints.reach(f"apply_compute.past_gate_{self._asked}")
        return current

    async def make_way(self) -> bool:
        return await self._make_way()
