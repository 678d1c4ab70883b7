"""The embedded engine against the workflow contract."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from controlplane.clock import SystemClock
from controlplane.model import StepName
from controlplane.ports import ExecutionInput
from providers.conformance.workflow import CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import MAX_ATTEMPTS, Bench
from providers.workflow.embedded import EmbeddedWorkflow


class TestEmbeddedConforms(WorkflowConformance):
    @pytest_asyncio.fixture
    async def provider(self, bench: Bench) -> AsyncIterator[EmbeddedWorkflow]:
        async def run_step(order: ExecutionInput, step: StepName) -> None:
            await bench.script.run(order.execution_id, step, provider.signals(order.execution_id))

        provider = EmbeddedWorkflow(
            bench.store, run_step, SystemClock(), max_attempts=MAX_ATTEMPTS, backoff=bench.backoff
        )
        yield provider
        await provider.close()

    @pytest.fixture
    def another(self, provider: EmbeddedWorkflow) -> EmbeddedWorkflow:
        """It lives in one process: the lease sees to that."""
        return provider

    @pytest.fixture
    def count_at_engine(self, provider: EmbeddedWorkflow) -> CountAtEngine:
        async def count(execution_id: str) -> int:
            return [id for id in provider._runs if id == execution_id].count(execution_id)

        return count
