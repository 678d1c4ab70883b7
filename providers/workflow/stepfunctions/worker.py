"""A step worker: takes steps from the queue, does them, answers their tokens. Runs in `actors/step_worker.py`.

A message is a step with a token. While a step works, its worker reports to the engine (heartbeat) and to the queue
(visibility) that it is alive. If the worker dies, both notice, and another worker gets the message. Nothing here
decides how a step works or how often it is tried: `StepAttempts` does, on rows.
"""

import asyncio
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controlplane.errors import LandlordError, SettingsError, Terminal
from controlplane.model import StepName
from controlplane.ports import Clock
from controlplane.settings import Settings
from controlplane.steps.attempts import Claims, Outcome, StepAttempts, Verdict
from controlplane.steps.probes import Probes
from providers.workflow.stepfunctions.aws import Aws
from providers.workflow.stepfunctions.machines import FAILED, POISONED, RETRYABLE, STOPPED

logger = logging.getLogger(__name__)

AT_ONCE = 10
"""The number of steps that one worker does at once; also the most that SQS gives in one answer."""
VISIBILITY_SECONDS = 30
HEARTBEAT_SECONDS = 10.0
LONG_POLL_SECONDS = 15
"""Less than `READ_SECONDS` of the SDK: an empty queue answers after this."""
MAX_RECEIVES = 10
"""A message that came this often without an answer takes its workers down: it fails the execution."""
UNKNOWN_RECEIVES = 3
"""A message may overtake its token: its worker asks before the engine knows the token. A message is dropped only if its
token was unknown so often; until then it comes back after `UNKNOWN_SECONDS`."""
UNKNOWN_SECONDS = 2
STORE_PAUSE = 1.0
SHORT_LOOK_SECONDS = 1.0
"""If the wait between two probes is shorter than this, the worker waits itself: the engine counts whole seconds."""
LOOKING_SECONDS = 3.0
"""The worker waits this long at most. A failure is reported at once, so that the engine shows it."""
CAUSE = 1024


class StepWorker:
    """Promises: each message whose token is valid is answered, and no message is deleted before its answer was taken. A
    message that kills its workers is answered as poisoned. Two workers may do a step twice; that is harmless, because
    attempts are recorded and effects pass the gate."""

    def __init__(
        self,
        aws: Aws,
        attempts: StepAttempts,
        clock: Clock,
        *,
        queue_url: str,
        visibility: int = VISIBILITY_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
        long_poll: int = LONG_POLL_SECONDS,
        max_receives: int = MAX_RECEIVES,
    ) -> None:
        self._aws = aws
        self._attempts = attempts
        self._clock = clock
        self._queue_url = queue_url
        self._visibility = visibility
        self._heartbeat = heartbeat
        self._long_poll = long_poll
        self._max_receives = max_receives
        self._working: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """The number of steps in hand."""
        return len(self._working)

    async def run(self) -> None:
        """Run until cancelled. If the queue fails, wait and try again."""
        try:
            while True:
                try:
                    await self._take()
                except LandlordError as error:
                    logger.warning("cannot take steps: %s", error.message)
                    await self._clock.sleep(STORE_PAUSE)
        finally:
            for task in self._working:
                task.cancel()

    async def _take(self) -> None:
        if len(self._working) >= AT_ONCE:
            await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
        answer = await self._aws.call(
            "sqs",
            "receive_message",
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=min(10, AT_ONCE - len(self._working)),
            WaitTimeSeconds=self._long_poll,
            VisibilityTimeout=self._visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        for message in answer.get("Messages", []):
            task = asyncio.create_task(self._handle(message), name=f"message {message['MessageId']}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _handle(self, message: Mapping[str, Any]) -> None:
        try:
            request = json.loads(message["Body"])
            token, execution_id, step = request["token"], request["execution_id"], StepName(request["step"])
            probes = Probes.kept(request.get("probes", {}))
            # Messages of machines from before they said this say nothing.
            claims = Claims(request.get("action"), request.get("tenant_id"))
        except (ValueError, KeyError, TypeError):
            logger.error("message %s is no step: dropped", message["MessageId"])
            await self._drop(message)
            return
        receives = int(message["Attributes"]["ApproximateReceiveCount"])
        if receives > self._max_receives:
            logger.error("%s of %s took its workers down %d times", step, execution_id, self._max_receives)
            await self._fail(token, POISONED, f"{step} took its workers down {self._max_receives} times")
            await self._drop(message)
            return
        try:
            if await self._is_awaited(message, token):
                await self._work(message, token, execution_id, step, probes, claims)
            elif receives < UNKNOWN_RECEIVES:
                await self._show_again(message, UNKNOWN_SECONDS)
                return
            await self._drop(message)
        except LandlordError as error:
            # The message comes back when its visibility ends, and is answered then.
            logger.warning("%s of %s could not be answered: %s", step, execution_id, error.message)

    async def _work(
        self,
        message: Mapping[str, Any],
        token: str,
        execution_id: str,
        step: StepName,
        probes: Probes,
        claims: Claims,
    ) -> None:
        alive = asyncio.create_task(self._stay_alive(message, token), name=f"heartbeat of {execution_id}")
        try:
            await self._answer(token, await self._attempt(execution_id, step, probes, claims, alive))
        finally:
            alive.cancel()

    async def _attempt(
        self, execution_id: str, step: StepName, probes: Probes, claims: Claims, alive: "asyncio.Task[None]"
    ) -> Outcome | None:
        """Make an attempt. None: its token has ended, so no answer is awaited. If the database is away, wait for it."""
        waited = 0.0
        while not alive.done():
            try:
                outcome = await self._attempts.make(execution_id, step, probes, claims)
            except Terminal as error:  # there is no such execution, or the message is not about it
                return Outcome(Verdict.FAILED, error.message)
            except Exception as error:
                logger.warning("%s of %s: the rows cannot be read: %s", step, execution_id, type(error).__name__)
                await self._clock.sleep(STORE_PAUSE)
                continue
            worth_telling = outcome.probes.failing is not None or waited >= LOOKING_SECONDS
            if outcome.verdict is not Verdict.AGAIN or outcome.delay >= SHORT_LOOK_SECONDS or worth_telling:
                return outcome
            probes = outcome.probes
            waited += outcome.delay
            await self._clock.sleep(outcome.delay)
        return None

    async def _stay_alive(self, message: Mapping[str, Any], token: str) -> None:
        """Returns when the token has ended."""
        awaited = True
        while awaited:
            await self._clock.sleep(self._heartbeat)
            try:
                awaited = await self._is_awaited(message, token)
            except LandlordError as error:
                logger.warning("heartbeat: %s", error.message)

    async def _is_awaited(self, message: Mapping[str, Any], token: str) -> bool:
        """One heartbeat to the engine and the queue. False: the token has ended, since the execution was stopped or the
        message was answered. So a message that came twice is not done twice."""
        try:
            await self._aws.call("stepfunctions", "send_task_heartbeat", taskToken=token)
            await self._show_again(message, self._visibility)
        except Terminal:
            return False
        return True

    async def _answer(self, token: str, outcome: Outcome | None) -> None:
        match outcome:
            case None:
                return
            case Outcome(Verdict.DONE | Verdict.AGAIN):
                await self._succeed(token, outcome)
            case Outcome(Verdict.RETRY, message):
                await self._fail(token, RETRYABLE, message)
            case Outcome(Verdict.STOPPED, message):
                await self._fail(token, STOPPED, message)
            case Outcome(Verdict.FAILED, message):
                await self._fail(token, FAILED, message)

    async def _succeed(self, token: str, outcome: Outcome) -> None:
        done = outcome.verdict is Verdict.DONE
        probes = replace(outcome.probes, again=None if done else math.ceil(outcome.delay))
        try:
            await self._aws.call(
                "stepfunctions", "send_task_success", taskToken=token, output=json.dumps(probes.to_keep())
            )
        except Terminal as error:
            logger.info("the answer came too late: %s", error.message)

    async def _fail(self, token: str, error: str, cause: str) -> None:
        try:
            await self._aws.call(
                "stepfunctions", "send_task_failure", taskToken=token, error=error, cause=cause[:CAUSE]
            )
        except Terminal as refusal:
            logger.info("the answer came too late: %s", refusal.message)

    async def _show_again(self, message: Mapping[str, Any], seconds: int) -> None:
        """To whoever takes messages, after so many seconds from now."""
        await self._aws.call(
            "sqs",
            "change_message_visibility",
            QueueUrl=self._queue_url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=seconds,
        )

    async def _drop(self, message: Mapping[str, Any]) -> None:
        await self._aws.call("sqs", "delete_message", QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])


def worker_of(settings: Settings, attempts: StepAttempts, clock: Clock) -> StepWorker:
    """Raises SettingsError if no queue is given."""
    if settings.stepfunctions_queue_url is None:
        raise SettingsError("step workers need LANDLORD_STEPFUNCTIONS_QUEUE_URL")
    return StepWorker(Aws.build(settings), attempts, clock, queue_url=settings.stepfunctions_queue_url)
