"""What the tests of Step Functions ask for: a queue and machines of their own, and workers that can die."""

import asyncio
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

from controlplane.clock import SystemClock
from controlplane.ports import ExecutionStore
from controlplane.steps.attempts import StepAttempts
from providers.aws.clients import AssumedRole
from providers.workflow.stepfunctions.aws import Aws
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from providers.workflow.stepfunctions.worker import MAX_RECEIVES, StepWorker
from tests.aws import ACCOUNT, AwsEmulator, AwsFront

CALLS_SECONDS = 60.0
"""The SDK gives a call up before that."""
ROLE = f"arn:aws:iam::{ACCOUNT}:role/landlord-machines"


class Account:
    """A queue and machines of this test's own. `front`: where provider and workers go."""

    def __init__(self, emulator: AwsEmulator, front: AwsFront) -> None:
        self.front = front
        self.prefix = f"t{uuid4().hex[:8]}"
        self.sqs: Any = emulator.client("sqs")
        self.states: Any = emulator.client("stepfunctions")
        self.queue_url: str = self.sqs.create_queue(QueueName=self.prefix)["QueueUrl"]
        self._closing: list[Aws] = []

    def aws(self, assume_role: AssumedRole | None = None) -> Aws:
        self._closing.append(Aws(endpoint_url=self.front.url, assume_role=assume_role))
        return self._closing[-1]

    def provider(self, store: ExecutionStore, assume_role: AssumedRole | None = None) -> StepFunctionsWorkflow:
        return StepFunctionsWorkflow(
            self.aws(assume_role), store, SystemClock(), queue_url=self.queue_url, role_arn=ROLE, prefix=self.prefix
        )

    def worker(self, attempts: StepAttempts, max_receives: int = MAX_RECEIVES) -> StepWorker:
        return StepWorker(
            self.aws(),
            attempts,
            SystemClock(),
            queue_url=self.queue_url,
            visibility=5,
            heartbeat=0.5,
            long_poll=1,
            max_receives=max_receives,
        )

    def close(self) -> None:
        """Calls that are under way are seen through: whom they ask goes next."""
        until = time.monotonic() + CALLS_SECONDS
        for places in [places for aws in self._closing for places in (aws._threads._effects, aws._threads._looks)]:
            while places._threads and time.monotonic() < until:
                time.sleep(0.01)
        self.sqs.close()
        self.states.close()


class Work:
    """A worker at work; `die` is as by SIGKILL."""

    def __init__(self, worker: StepWorker) -> None:
        self._worker = worker
        self._task = asyncio.create_task(worker.run())

    async def die(self) -> None:
        tasks = [self._task, *self._worker._working]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
