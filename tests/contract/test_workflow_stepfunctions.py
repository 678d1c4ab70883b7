"""Step Functions against the workflow contract: an emulator that executes state machines, real queues, our workers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from controlplane.errors import Throttled
from controlplane.model import Action, ExecutionState, Status, StepName, SubState
from controlplane.ports import ExecutionStore
from controlplane.steps.attempts import StepAttempts
from providers.aws.clients import ATTEMPTS, AssumedRole
from providers.conformance.workflow import PROVISION, CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import Bench, end
from providers.workflow.stepfunctions.provider import StepFunctionsWorkflow
from tests.aws import ACCOUNT, Answer, Forward, executions_of, machines_of, refusal
from tests.contract.lifecycle import EngineOf, EngineWorld, LifeOutside, ProviderFactory
from tests.contract.stepfunctions_bench import Account, Work


@pytest.fixture
def count_at_engine(account: Account) -> CountAtEngine:
    async def count(execution_id: str) -> int:
        ours = [arn for name, arn in machines_of(account.states).items() if name.startswith(account.prefix)]
        return sum(executions_of(account.states, arn).count(execution_id) for arn in ours)

    return count


class TestStepFunctionsConforms(WorkflowConformance):
    @pytest_asyncio.fixture
    async def provider(self, account: Account, bench: Bench) -> AsyncIterator[StepFunctionsWorkflow]:
        provider = account.provider(bench.store)
        await provider.setup()
        work = Work(account.worker(bench.attempts))
        yield provider
        await work.die()
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, account: Account, bench: Bench) -> AsyncIterator[StepFunctionsWorkflow]:
        provider = account.provider(bench.store)
        yield provider
        await provider.close()


async def test_a_message_that_says_another_tenant_does_nothing(account: Account) -> None:
    bench = Bench(Action.PROVISION)
    provider = account.provider(bench.store)
    await provider.setup()
    work = Work(account.worker(bench.attempts))
    started = await provider.start(replace(bench.request, tenant_id=uuid4()))
    status = await end(provider, bench, started.ref)
    await work.die()
    await provider.close()
    assert (status.sub_state, bench.script.calls) == (SubState.FAILED, [])


class TestLifeOnStepFunctions(LifeOutside):
    @pytest.fixture
    def workers(self) -> list[Work]:
        return []

    @pytest_asyncio.fixture
    async def engine_of(self, account: Account, workers: list[Work]) -> AsyncIterator[EngineOf]:
        async def set_up(attempts: StepAttempts, store: ExecutionStore) -> ProviderFactory:
            workers.append(Work(account.worker(attempts)))
            return lambda: account.provider(store)

        yield set_up
        for work in workers:
            await work.die()

    async def test_a_worker_killed_in_the_middle_of_a_provision(
        self, world: EngineWorld, account: Account, workers: list[Work]
    ) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant):
            await asyncio.wait_for(world.platform.creating.wait(), 30)
            await workers[0].die()
            world.platform.may_create.set()
            workers.append(Work(account.worker(world.attempts)))
            view = await world.settled(tenant, Status.READY, 1)
        assert view.execution.state is ExecutionState.SUCCEEDED
        assert await world.instances() == [(1, 1, "running")]


async def test_a_step_that_takes_its_workers_down_is_given_up(account: Account) -> None:
    bench = Bench(Action.PROVISION)
    bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
    provider = account.provider(bench.store)
    started = await provider.start(bench.request)
    for _ in range(2):
        work = Work(account.worker(bench.attempts, max_receives=2))
        bench.script.reached[StepName.APPLY_COMPUTE].clear()
        await asyncio.wait_for(bench.script.reached[StepName.APPLY_COMPUTE].wait(), 30)
        await work.die()
    last = Work(account.worker(bench.attempts, max_receives=2))
    ended = await end(provider, bench, started.ref)
    assert ended.sub_state is SubState.FAILED
    assert bench.script.calls.count(StepName.APPLY_COMPUTE) == 2
    await last.die()
    await provider.close()


async def test_a_message_that_overtakes_its_token_is_not_lost(account: Account) -> None:
    """The emulator sends a task's message before it knows the token. AWS promises no order either."""
    unknown: list[str] = []

    def heartbeat(request: dict[str, Any], forward: Forward) -> Answer:
        if unknown:
            return forward()
        unknown.append(request["taskToken"])
        return refusal("InvalidToken", "Invalid token")

    bench = Bench(Action.PROVISION)
    provider = account.provider(bench.store)
    started = await provider.start(bench.request)
    account.front.rules["SendTaskHeartbeat"] = heartbeat
    work = Work(account.worker(bench.attempts))
    status = await end(provider, bench, started.ref)
    await work.die()
    await provider.close()
    assert (status.sub_state, len(unknown)) == (SubState.SUCCEEDED, 1)


async def test_a_machine_that_differs_is_updated(account: Account) -> None:
    bench = Bench(Action.PROVISION)
    provider = account.provider(bench.store)
    await provider.setup()
    arn = machines_of(account.states)[f"{account.prefix}-provision"]
    good = account.states.describe_state_machine(stateMachineArn=arn)["definition"]
    assert all(step.value in good for step in PROVISION)
    assert {tag["key"] for tag in account.states.list_tags_for_resource(resourceArn=arn)["tags"]} == {
        "landlord:prefix",
        "landlord:action",
    }
    account.states.update_state_machine(
        stateMachineArn=arn, definition='{"StartAt": "x", "States": {"x": {"Type": "Succeed"}}}'
    )
    await provider.setup()
    assert account.states.describe_state_machine(stateMachineArn=arn)["definition"] == good
    await provider.close()


class TestCalls:
    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(Action.PROVISION)

    async def test_the_input_is_the_order_and_a_word_of_the_call(self, account: Account, bench: Bench) -> None:
        provider = account.provider(bench.store)
        started = await provider.start(bench.request)
        given = json.loads(account.states.describe_execution(executionArn=started.ref)["input"])
        assert given.pop("start")
        assert given == bench.request.to_json()
        assert given["trigger_source"] == "api"
        await provider.close()

    async def test_a_throttled_call_is_repeated(self, account: Account, bench: Bench) -> None:
        refusals = [refusal("ThrottlingException", "Rate exceeded")] * 2
        provider = account.provider(bench.store)
        await provider.setup()
        account.front.rules["StartExecution"] = lambda request, forward: refusals.pop() if refusals else forward()
        assert not (await provider.start(bench.request)).already
        assert account.front.calls["StartExecution"] == 3
        await provider.close()

    @pytest.mark.long
    async def test_one_that_stays_throttled_may_succeed_later(self, account: Account, bench: Bench) -> None:
        provider = account.provider(bench.store)
        account.front.refuse("DescribeExecution", "ThrottlingException", "Rate exceeded")
        with pytest.raises(Throttled, match="Rate exceeded"):
            await provider.status(bench.id, None)
        assert account.front.calls["DescribeExecution"] == ATTEMPTS
        await provider.close()

    async def test_a_role_is_assumed_once_for_all_calls(self, account: Account, bench: Bench) -> None:
        provider = account.provider(bench.store, AssumedRole(f"arn:aws:iam::{ACCOUNT}:role/landlord"))
        assert (await provider.health()).healthy
        assert (await provider.health()).healthy
        assert account.front.calls["AssumeRole"] == 1
        await provider.close()
