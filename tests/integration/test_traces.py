"""One trace leads from a client's request to its platform. The collector is real, and so are owner, engine and API."""

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane import tracing
from controlplane.model import StepName
from controlplane.persistence import tenants
from providers.compute.fake import FakeCloud
from tests.collector import Collector, collecting
from tests.integration.api_replica import api_on
from tests.integration.owner import World, create, spec
from tests.integration.test_roll_back import Fakes
from tests.pages import modules


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        tracing.begin(collector.url, "the-test")
        yield collector
        tracing.finish()


def client_span() -> tuple[str, str, str]:
    """A trace that a client began: its id, the id of its span, and the header that says so."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-01"


BODY: dict[str, Any] = {"name": "acme", "spec": {"compute": {"provider": "fake", "config": {}}}}


async def test_one_trace_from_the_request_to_the_platform(
    collector: Collector, database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    trace, asked, header = client_span()
    async with api_on(database_url, more={"fake": Fakes()}) as api:
        made = await api.client.post("/v1/tenants", json=BODY, headers={"traceparent": header})
        assert made.status_code == 202, made.text
        world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
        view = await tenants.get(database, "acme")
        assert view is not None
        tenant = view.tenant
        async with world.owner(tenant):
            await world.settled(tenant, "ready")
    steps = {f"step {name}" for name in ("plan", "apply_compute", "wait_healthy", "retire_previous")}
    expected = {"POST /v1/tenants", "commit", "wake", "start at embedded", "apply at fake", *steps}
    found = collector.until(trace, lambda names: names >= expected)
    by_name = {span.name: span for span in found}
    request = by_name["POST /v1/tenants"]
    assert request.parent == asked
    assert request.attributes["http.response.status_code"] == 202
    for name in ("commit", "wake"):
        assert by_name[name].parent == request.id
    commit = by_name["commit"].id
    assert {by_name[name].parent for name in ("start at embedded", *steps)} == {commit}, "by the execution's row"
    assert by_name["apply at fake"].parent == by_name["step apply_compute"].id
    assert by_name["step plan"].attributes["tenant"] == "acme"


async def test_a_step_that_fails_says_so_and_keeps_words_to_itself(
    collector: Collector, database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    tenant, execution = await create(database, "acme", spec(refuses="the secret word"))
    async with database.connect() as connection:
        of = {"id": execution.id}
        header = (await connection.execute(text("SELECT traceparent FROM executions WHERE id = :id"), of)).scalar_one()
    async with world.owner(tenant):
        await world.settled(tenant, "failed")
    found = collector.until(header.split("-")[1], lambda names: "step apply_compute" in names)
    failed = next(span for span in found if span.name == "step apply_compute")
    assert failed.failed == "InvalidConfig"
    assert "secret word" not in str(found)


async def test_a_step_ordered_from_elsewhere_is_in_the_trace(
    collector: Collector, database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    """Restate's handler and the workers of Step Functions know an execution's id, and nothing of its trace."""
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    trace, _, header = client_span()
    with tracing.span("the client", parent=header):
        _, execution = await create(database, "acme", spec())
    async with database.begin() as connection:
        await connection.execute(text("UPDATE executions SET state = 'running', started_at = now()"))
    async with world.net() as elsewhere:
        await elsewhere.steps.run(execution.id, StepName.PLAN, None)
    assert {span.name for span in collector.until(trace, lambda names: len(names) == 2)} == {"the client", "step plan"}


async def test_a_client_that_samples_nothing_is_obeyed(collector: Collector, database_url: str) -> None:
    trace, _, header = client_span()
    async with api_on(database_url, more={"fake": Fakes()}) as api:
        unwanted = header.removesuffix("01") + "00"
        assert (await api.client.get("/v1/tenants", headers={"traceparent": unwanted})).status_code == 200
        for wrong in ("", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
            assert (await api.client.get("/v1/tenants", headers={"traceparent": wrong})).status_code == 200
        await api.client.get("/readyz")
    tracing.finish()
    assert collector.of(trace) == []
    assert collector.size == 4, "each of the others began a trace of its own; who asks for health began none"


OFF = """
import sys
import controlplane.tracing

controlplane.tracing.begin(None, "off")
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


async def test_without_a_collector_nothing_is_kept_and_nothing_imported(database: AsyncEngine) -> None:
    assert tracing.traceparent() is None
    assert tracing.span("one", root=True) is tracing.span("another"), "nothing is made"
    await create(database, "acme", spec())
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT traceparent FROM executions"))).scalar_one() is None
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", OFF], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert [name for name, file in modules().items() if "opentelemetry" in file.read_text()] == ["controlplane.tracing"]


PREPARED = """
import sys, threading
from controlplane import tracing

tracing.prepare(None)
print([name for name in sys.modules if name.startswith("opentelemetry")])
tracing.prepare("http://127.0.0.1:1")
print(threading.active_count())
before = set(sys.modules)
tracing.begin("http://127.0.0.1:1", "the-test")
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
"""


def test_what_is_prepared_before_a_fork_is_all_that_tracing_imports() -> None:
    """And no thread is begun, with which no process may fork."""
    done = subprocess.run([sys.executable, "-c", PREPARED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "1", "[]"], done.stderr


async def test_a_collector_that_is_away_holds_up_nobody(database_url: str) -> None:
    tracing.begin("http://127.0.0.1:1", "the-test")
    try:
        async with api_on(database_url, more={"fake": Fakes()}) as api:
            assert (await api.client.post("/v1/tenants", json=BODY)).status_code == 202
    finally:
        tracing.finish()
