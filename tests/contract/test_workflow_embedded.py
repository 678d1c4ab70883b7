"""The embedded engine against the workflow contract, and a tenant's life on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
from controlplane.model import StepName, Tenant
from controlplane.ports import ExecutionInput, StepSignals
from providers.conformance.workflow import CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import MAX_ATTEMPTS, Bench
from providers.workflow.embedded import EmbeddedWorkflow
from tests.contract.lifecycle import EngineWorld, WorkflowLifecycle
from tests.integration.owner import Owner


class TestEmbeddedConforms(WorkflowConformance):
    @pytest_asyncio.fixture
    async def provider(self, bench: Bench) -> AsyncIterator[EmbeddedWorkflow]:
        async def run_step(request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
            await bench.script.run(request.execution_id, step, signals)

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


class EmbeddedWorld(EngineWorld):
    name = EmbeddedWorkflow.name

    def owned(self, tenant: Tenant) -> Owner:
        return self.owner(tenant, max_attempts=200)


class TestLifeOnEmbedded(WorkflowLifecycle):
    @pytest_asyncio.fixture
    async def world(self, database: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[EmbeddedWorld]:
        world = EmbeddedWorld(database, database_url, tmp_path)
        yield world
        await world.close()
