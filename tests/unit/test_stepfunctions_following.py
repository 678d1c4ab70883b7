"""When AWS is asked about a followed execution: at news of the rows, rarely without, later where it throttles."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from controlplane.errors import Throttled
from controlplane.model import StepName, SubState
from controlplane.ports import Clock, ExecutionStatus
from providers.conformance.workflow import PROVISION
from providers.conformance.workflow_bench import Bench
from providers.workflow.stepfunctions.aws import Aws
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from tests.unit.builders import NOW

ARN = "arn:aws:states:eu-central-1:123456789012:execution:landlord-provision:x"


class VirtualClock:
    """Sleeps pass at once, and move the time."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Account:
    """Answers of AWS, and when each execution was described."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.asked: list[float] = []
        self.word = "RUNNING"
        self.throttles = 0

    async def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation != "describe_execution":
            return {"events": []}
        self.asked.append((self._clock.time - NOW).total_seconds())
        if self.throttles:
            self.throttles -= 1
            raise Throttled("Rate exceeded")
        return {"status": self.word}


class Followed:
    """One execution that an owner follows, in virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.account = Account(self.clock)
        self.bench = Bench()
        self.provider = StepFunctionsWorkflow(
            cast(Aws, self.account),
            self.bench.store,
            cast(Clock, self.clock),
            queue_url="https://queue",
            role_arn="arn:aws:iam::123456789012:role/machines",
            prefix="landlord",
        )

    async def next(self, after: ExecutionStatus | None) -> ExecutionStatus:
        return await self.provider.next_status(self.bench.id, ARN, after)

    async def asks(self, more: int) -> float:
        """Returns once AWS was asked so many times more; when that was."""
        asked = len(self.account.asked) + more
        while len(self.account.asked) < asked:
            assert self.clock.time < NOW + timedelta(hours=1)
            await asyncio.sleep(0)
        return self.account.asked[-1]

    async def pass_time(self, seconds: float, after: ExecutionStatus) -> None:
        """Follows for so long, in which nothing is to come of it."""
        until = self.clock.time + timedelta(seconds=seconds)
        following = asyncio.create_task(self.next(after))
        while self.clock.time < until:
            await asyncio.sleep(0)
            assert not following.done()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


@pytest.fixture
def followed() -> Followed:
    return Followed()


async def test_without_news_it_is_asked_about_rarely(followed: Followed) -> None:
    first = await followed.next(None)
    await followed.pass_time(60, first)
    assert len(followed.account.asked) <= 1 + 60 / 5


async def test_news_of_the_rows_are_asked_about_soon(followed: Followed) -> None:
    first = await followed.next(None)
    following = asyncio.create_task(followed.next(first))
    await followed.asks(2)
    await followed.bench.store.step_started(followed.bench.id, StepName.PLAN)
    changed = (followed.clock.time - NOW).total_seconds()
    assert await followed.asks(1) - changed <= 6.5, "one look at the rows, at its rarest, and a turn"
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_what_is_over_by_the_rows_waits_for_no_turn(followed: Followed) -> None:
    first = await followed.next(None)
    for _ in range(20):
        followed.provider._pace.throttled()
    for step in PROVISION:
        await followed.bench.store.step_started(followed.bench.id, step)
        await followed.bench.store.step_succeeded(followed.bench.id, step)
    followed.account.word = "SUCCEEDED"
    begun = followed.clock.time
    assert (await followed.next(first)).sub_state is SubState.SUCCEEDED
    assert (followed.clock.time - begun).total_seconds() < 10
    assert followed.provider._following == {}, "nothing of it is kept"


async def test_throttled_is_asked_later_and_never_raised(followed: Followed) -> None:
    followed.account.throttles = 5
    assert (await followed.next(None)).sub_state is SubState.RUNNING
    pauses = [
        later - earlier for earlier, later in zip(followed.account.asked, followed.account.asked[1:], strict=False)
    ]
    assert len(pauses) == 5
    assert pauses[-1] > pauses[0], "ever later"


async def test_an_owner_that_leaves_leaves_nothing_behind(followed: Followed) -> None:
    first = await followed.next(None)
    await followed.pass_time(20, first)
    assert followed.provider._following == {}
    assert followed.provider._pace.followed == 0
