"""Step Functions when there are many: attempts, looks, followed executions, and a queue that is behind."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from controlplane.errors import Retryable
from controlplane.model import Action, StepName, SubState
from controlplane.ports import ExecutionStatus, ExecutionStore, RunContext
from providers.aws.clients import ATTEMPTS
from providers.conformance.workflow import PROVISION
from providers.conformance.workflow_bench import Bench
from providers.workflow.stepfunctions import machines
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from tests.aws import Answer, Forward, refusal
from tests.contract.stepfunctions_bench import ROLE, Account, Work

EVENTS_OF_A_LOOK = 10
"""On AWS a task has six (entered, scheduled, started, submitted, succeeded, exited), choice and wait two each."""


async def becomes(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.1)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that try again after a second, always."""
    for setting in ("RATE", "LONGEST_SECONDS", "LONGEST_RETIRE_SECONDS"):
        monkeypatch.setattr(machines, setting, 1)


class TestMany:
    """Attempts and looks: how many there may be, and what is seen of them."""

    async def follow(self, provider: StepFunctionsWorkflow, bench: Bench, ref: str) -> list[ExecutionStatus]:
        seen: list[ExecutionStatus] = []
        async with asyncio.timeout(240):
            while not seen or not seen[-1].sub_state.terminal:
                seen.append(await provider.next_status(bench.id, ref, seen[-1] if seen else None))
        return seen

    @pytest.mark.parametrize("many", [16, pytest.param(55, marks=pytest.mark.long)])
    async def test_the_replaced_resource_is_removed_however_often_that_fails(
        self, account: Account, quick: None, many: int
    ) -> None:
        bench = Bench(Action.UPDATE)
        bench.script.errors[StepName.RETIRE_PREVIOUS] = [Retryable("the old platform is away")] * many
        provider, work = account.provider(bench.store), Work(account.worker(bench.attempts))
        started = await provider.start(bench.request)
        seen = await self.follow(provider, bench, started.ref)
        assert seen[-1].sub_state is SubState.SUCCEEDED
        assert bench.script.calls.count(StepName.RETIRE_PREVIOUS) == many + 1
        backing_off = [status for status in seen if status.sub_state is SubState.BACKING_OFF]
        assert {status.error for status in backing_off} == {"the old platform is away"}
        assert max(status.retry_count for status in backing_off) > 13, "more than one page of its history"
        await work.die()
        await provider.close()

    async def test_a_backlog_longer_than_the_heartbeat_is_no_failure(
        self, account: Account, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machines, "HEARTBEAT_SECONDS", 1)
        bench = Bench()
        provider = account.provider(bench.store)
        started = await provider.start(bench.request)

        def expiries() -> int:
            events = account.states.get_execution_history(executionArn=started.ref)["events"]
            return [event["type"] for event in events].count("TaskTimedOut")

        await becomes(lambda: expiries() >= 3)
        assert (await provider.status(bench.id, started.ref)).sub_state is not SubState.FAILED
        await provider.cancel(bench.id, started.ref, "seen enough", kill=True)
        await provider.close()

    async def test_looks_stay_within_a_history(self, account: Account) -> None:
        """AWS ends an execution at 25,000 events. What a look costs is counted; that a start of a day has fewer than
        500 of them is `tests/unit/test_next_look.py`."""
        bench = Bench()
        bench.script.probes = lambda look: None if look > 10 else "GET / is 500"
        provider, work = account.provider(bench.store), Work(account.worker(bench.attempts))
        started = await provider.start(bench.request)
        await self.follow(provider, bench, started.ref)
        history = account.states.get_execution_history(executionArn=started.ref, maxResults=1000)["events"]
        names = [event.get("stateEnteredEventDetails", {}).get("name") for event in history]
        looks = names.count("wait_healthy")
        assert looks > 5
        entered = [index for index, name in enumerate(names) if name == "wait_healthy"]
        a_look = (entered[-1] - entered[0]) / (looks - 1)
        assert a_look <= EVENTS_OF_A_LOOK
        assert 500 * EVENTS_OF_A_LOOK < 25_000 / 4
        await work.die()
        await provider.close()


async def test_1000_followed_executions_stay_within_the_accounts_rates(account: Account) -> None:
    """AWS's limits, put before the emulator: 15 DescribeExecution and 20 GetExecutionHistory a second. One that
    is over by the rows is asked about at once."""
    benches = {bench.id: bench for bench in (Bench() for _ in range(1000))}
    over: set[str] = set()
    describing, reading = Limit(15), Limit(20)

    def describe(request: dict[str, Any], forward: Forward) -> Answer:
        arn = request["executionArn"]
        ended = arn.rpartition(":")[2] in over
        return describing.answer({"executionArn": arn, "status": "SUCCEEDED" if ended else "RUNNING"})

    account.front.rules |= {
        "DescribeExecution": describe,
        "GetExecutionHistory": lambda request, forward: reading.answer({"events": []}),
    }
    provider = account.provider(cast(ExecutionStore, Rows(benches)))

    async def followed(id: str) -> ExecutionStatus:
        status = None
        while status is None or not status.sub_state.terminal:
            status = await provider.next_status(id, f"{ROLE}:{id}", status)
        return status

    following = {id: asyncio.create_task(followed(id)) for id in benches}
    await becomes(lambda: describing.answered >= 100)
    ending = list(benches)[-10:]
    over.update(ending)
    for id in ending:
        for step in PROVISION:
            await benches[id].store.step_started(id, step)
            await benches[id].store.step_succeeded(id, step)
    ended = await asyncio.wait_for(asyncio.gather(*(following[id] for id in ending)), 20)
    assert {status.sub_state for status in ended} == {SubState.SUCCEEDED}
    asked = describing.answered + describing.refused
    assert describing.refused + reading.refused < asked * 0.2
    assert [task for id, task in following.items() if id not in over and task.done()] == [], "throttled is no error"
    for task in following.values():
        task.cancel()
    await asyncio.gather(*following.values(), return_exceptions=True)
    await provider.close()


async def test_an_engine_that_throttles_is_asked_later_and_is_not_silent(account: Account) -> None:
    bench = Bench()
    provider = account.provider(bench.store)
    started = await provider.start(bench.request)
    account.front.refuse("DescribeExecution", "ThrottlingException", "Rate exceeded")
    following = asyncio.create_task(provider.next_status(bench.id, started.ref, None))
    await becomes(lambda: account.front.calls.get("DescribeExecution", 0) >= ATTEMPTS)
    del account.front.rules["DescribeExecution"]
    assert (await asyncio.wait_for(following, 60)).sub_state in (SubState.WAITING, SubState.RUNNING)
    await provider.cancel(bench.id, started.ref, "seen enough", kill=True)
    await provider.close()


class Limit:
    """A token bucket of one second's worth, as AWS has for each operation."""

    def __init__(self, per_second: float) -> None:
        self._per_second = self._left = per_second
        self._at = time.monotonic()
        self._lock = threading.Lock()
        self.answered = self.refused = 0

    def answer(self, good: dict[str, Any]) -> Answer:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                self.refused += 1
                return refusal("ThrottlingException", "Rate exceeded")
            self._left -= 1
            self.answered += 1
            return 200, good


class Rows:
    """The part of an ExecutionStore that a status needs, of many executions."""

    def __init__(self, benches: Mapping[str, Bench]) -> None:
        self._benches = benches

    async def context(self, execution_id: str) -> RunContext:
        return await self._benches[execution_id].store.context(execution_id)
