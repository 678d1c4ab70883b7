"""One attempt at one step, recorded in the rows. The embedded engine uses `AttemptLog`. Runners outside the tenant's
actor, which are Restate's handler and step workers, use `StepAttempts`.

The engine owns order, waits and repetition; the rows own the count. So an outcome is a value that an engine's adapter
translates into that engine's words. Only a store that does not answer is an exception: then nothing is known, and the
engine tries again by its own policy.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Protocol

from controlplane.errors import LandlordError, NotCurrent, Retryable, Terminal, WaitsFor, told
from controlplane.model import Step, StepName
from controlplane.ports import Clock, ExecutionStore, StepSignals
from controlplane.steps.backoff import Backoff
from controlplane.steps.probes import Probes

logger = logging.getLogger(__name__)

DONE = Probes(again=None)
"""The result of work that is not a probe: it is done."""


class Verdict(StrEnum):
    DONE = "done"
    AGAIN = "again"
    """Not yet: the same attempt continues after `delay`, with `probes`."""
    RETRY = "retry"
    """The attempt failed, or waits for something outside the tenant's spec; another one follows after `delay`."""
    FAILED = "failed"
    """The step failed for good."""
    STOPPED = "stopped"
    """The execution is no longer current: report and touch nothing more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an attempt. `delay` in seconds; `message` for people, without secrets."""

    verdict: Verdict
    message: str = ""
    delay: float = 0.0
    attempts: int = 0
    """Number of this attempt. One that waits for something outside is made again under the same number."""
    probes: Probes = field(default_factory=Probes)
    next_attempt_at: datetime | None = None
    """The recorded time at which that delay is over."""
    retries: int = 0
    """Number of times that the step was tried without success, waits included."""


class StepVerbs(Protocol):
    """The verbs of `controlplane.steps.run.Steps` that runners use."""

    async def run(self, execution_id: str, step: StepName, signals: StepSignals) -> None: ...

    async def probe_once(self, execution_id: str, before: Probes) -> Probes: ...


class AttemptLog:
    """Attempts in the rows: counted at their intent, judged, and spaced.

    Promises: at most `max_attempts` attempts fail for each step of an execution, whichever runners make them. The
    exception is `retire_previous`, which has as many as it takes: a tenant is `ready` once the replaced resource is
    gone. Attempts are verdicts on the tenant's own spec. So an attempt whose runner died is not counted, nor is one
    that found something missing outside (`Retryable.waits_for`): it is made again for as long as its execution is
    current, and the owner ends that at the deadline. An error that is not ours shows its type and no text. There is one
    write before an attempt and one after it, and no other query of the rows.
    """

    def __init__(
        self,
        store: ExecutionStore,
        clock: Clock,
        *,
        max_attempts: int,
        backoff: Backoff | None = None,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._max_attempts = max_attempts
        self._backoff = backoff or Backoff()
        self._random = random or Random()

    async def run(self, execution_id: str, step: StepName, work: Callable[[Step], Awaitable[Probes]]) -> Outcome:
        """Do `work` with the attempt's row. Raises the store's errors if the rows cannot be read or written."""
        bounded = step is not StepName.RETIRE_PREVIOUS
        begun = await self._store.step_started(execution_id, step)
        if begun is None:
            return self._stopped(execution_id)
        if bounded and begun.attempts > self._max_attempts and begun.error is not None:
            # All attempts were made: a request came a second time after the step had failed for good.
            return await self._failed(execution_id, step, begun.error, self._max_attempts)
        try:
            probes = await work(begun)
        except NotCurrent:
            return self._stopped(execution_id)
        except Terminal as error:
            return await self._failed(execution_id, step, error.message, begun.attempts)
        except Exception as error:
            if not isinstance(error, LandlordError):
                logger.exception("%s of %s failed in an unexpected way", step, execution_id)
            message = told(error, "unexpected")
            if isinstance(error, Retryable) and error.waits_for is not None:
                return await self._wait(begun, error, error.waits_for)
            if bounded and begun.attempts >= self._max_attempts:
                return await self._failed(execution_id, step, message, begun.attempts)
            return await self._retry(begun, error, message)
        if probes.again is not None:
            return Outcome(Verdict.AGAIN, probes.failing or "", probes.again, begun.attempts, probes)
        await self._store.step_succeeded(execution_id, step)
        return Outcome(Verdict.DONE, attempts=begun.attempts, retries=begun.attempts - 1 + begun.waits)

    async def _failed(self, execution_id: str, step: StepName, message: str, attempts: int) -> Outcome:
        await self._store.step_failed(execution_id, step, message, None)
        return Outcome(Verdict.FAILED, message, attempts=attempts)

    async def _retry(self, begun: Step, error: Exception, message: str) -> Outcome:
        delay = _at_least(self._backoff.pause(begun.attempts, self._random), error)
        at = self._clock.now() + timedelta(seconds=delay)
        await self._store.step_failed(begun.execution_id, begun.name, message, at)
        retries = begun.attempts + begun.waits
        return Outcome(Verdict.RETRY, message, delay, begun.attempts, next_attempt_at=at, retries=retries)

    async def _wait(self, begun: Step, error: Retryable, waits_for: WaitsFor) -> Outcome:
        delay = _at_least(self._backoff.patient_pause(begun.waits + 1, self._random), error)
        at = self._clock.now() + timedelta(seconds=delay)
        await self._store.step_waits(begun.execution_id, begun.name, error.message, at, waits_for)
        retries = begun.attempts + begun.waits
        return Outcome(Verdict.RETRY, error.message, delay, begun.attempts, next_attempt_at=at, retries=retries)

    @staticmethod
    def _stopped(execution_id: str) -> Outcome:
        return Outcome(Verdict.STOPPED, f"{execution_id} is no longer current")


def _at_least(delay: float, error: Exception) -> float:
    asked = error.delay if isinstance(error, Retryable) else None
    return delay if asked is None else max(delay, asked)


@dataclass(frozen=True, slots=True)
class Claims:
    """What the message that asks for a step says of its execution, besides the id. None: it says nothing of that."""

    action: str | None = None
    tenant_id: str | None = None


class StepAttempts:
    """Makes attempts for runners outside the tenant's actor; `AttemptLog` records them.

    Such a runner does what a message asks for, and a message may be anybody's. So each is compared with the row before
    anything is done: `engine` is the one whose messages these are (None: any), and only its executions are worked on.
    """

    def __init__(
        self,
        store: ExecutionStore,
        steps: StepVerbs,
        clock: Clock,
        *,
        max_attempts: int,
        engine: str | None = None,
        backoff: Backoff | None = None,
        random: Random | None = None,
    ) -> None:
        self._log = AttemptLog(store, clock, max_attempts=max_attempts, backoff=backoff, random=random)
        self._store = store
        self._engine = engine
        self._steps = steps
        self._clock = clock

    async def make(self, execution_id: str, step: StepName, before: Probes, claims: Claims | None = None) -> Outcome:
        """Raises the store's errors if the rows cannot be read or written, and Terminal if the claims are not those of
        the row: then nothing was done."""
        if claims is not None:
            await self._compare(execution_id, claims)

        async def work(begun: Step) -> Probes:
            if step is StepName.WAIT_HEALTHY:
                return await self._steps.probe_once(execution_id, before)
            await self._steps.run(execution_id, step, _Alone(self._clock))
            return DONE

        return await self._log.run(execution_id, step, work)

    async def _compare(self, execution_id: str, claims: Claims) -> None:
        execution = (await self._store.context(execution_id)).execution
        true = (
            self._engine in (None, execution.engine),
            claims.action in (None, execution.action.value),
            claims.tenant_id in (None, str(execution.tenant_id)),
        )
        if not all(true):
            logger.error("a message for %s says what is not so: engine, action, tenant %s", execution_id, true)
            raise Terminal(f"the message is not about {execution_id}", execution_id=execution_id)


class _Alone:
    """`StepSignals` of a step that is never interrupted: only the gate stops it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def wait(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def failing(self, detail: str | None) -> None:
        """Nothing to do: the outcome says it."""
