"""/metrics: its numbers are those of what happened, and outlive rows; no label is a client's choice."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor.breaker import FAILURES, Breaker
from actors.supervisor.clockwork import Clockwork
from actors.supervisor.figures import Figures, of_sweeps
from controlplane.lifecycle.conditions import with_condition
from controlplane.local.ports import derive_ports
from controlplane.model import ENDED, ConditionType, EventType, ExecutionState, Reason, Status, TenantSpec
from controlplane.persistence import executions, tables, tenants, totals
from controlplane.persistence.totals import roll_up
from controlplane.persistence.transaction import transaction
from providers.compute.fake import FakeCloud
from tests.fleet import insert_fleet
from tests.integration.api_replica import ADMIN, CLUSTER, Api, api_on, served, tenant
from tests.integration.owner import World, spec
from tests.pages import ROOT

KNOWN: dict[str, Any] = {"providers": {"cloud"}, "engines": {"embedded"}}
STEPS = """
    INSERT INTO steps (execution_id, name, position, state, started_at, ended_at)
    VALUES (:id, :step, 0, :state, now(), now() + make_interval(secs => :seconds))
"""
ENDS = """
    UPDATE executions SET state = :state, created_at = now(), ended_at = now() + make_interval(secs => :seconds)
    WHERE id = :id
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


def parsed(exposition: str) -> Samples:
    """By name and labels, as Prometheus reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


async def scraped(api: Api) -> Samples:
    """From a replica that remembers nothing."""
    async with api_on(str(api.replica.parts.database_url)) as fresh:
        answer = await fresh.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def of(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


async def ends(
    database: AsyncEngine, name: str, state: ExecutionState, seconds: float, **steps: tuple[str, float]
) -> None:
    """As its owner: the tenant's newest execution ends so long after it began, with these steps."""
    async with transaction(database, actor="test/owner") as tx:
        owned = await tenants.lock_by_name(tx, name)
        assert owned is not None
        execution = await executions.find_queued(tx.connection, owned.id)
        assert execution is not None
        for step, (outcome, took) in steps.items():
            values = {"id": execution.id, "step": step, "state": outcome, "seconds": took}
            await tx.connection.execute(text(STEPS), values)
        await tx.connection.execute(text(ENDS), {"id": execution.id, "state": state.value, "seconds": seconds})
        tx.event(ENDED[state], owned, execution=execution)


async def test_what_ended_is_counted_exactly_and_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of two events, by two supervisors at once, and again after the rows are gone."""
    monkeypatch.setattr(totals, "BATCH", 2)
    for name in ("one", "two", "three", "four"):
        assert (await api.create(name)).status_code == 202
    await ends(api.database, "one", ExecutionState.SUCCEEDED, 0.1, plan=("succeeded", 0.05))
    await ends(api.database, "two", ExecutionState.SUCCEEDED, 4.0, plan=("succeeded", 0.2))
    await ends(api.database, "three", ExecutionState.FAILED, 9000.0, plan=("failed", 8999.0))
    async with transaction(api.database, actor="test/owner") as tx:
        healing = await tenants.lock_by_name(tx, "one")
        assert healing is not None
        tx.event(EventType.TENANT_HEALING, healing)
    both = await asyncio.gather(*(roll_up(api.database, **KNOWN) for _ in range(2)))
    assert sum(both) + await roll_up(api.database, **KNOWN) == 3
    assert await roll_up(api.database, **KNOWN) == 0
    async with api.database.begin() as connection:
        await connection.execute(text("DELETE FROM steps"))
        await connection.execute(text("DELETE FROM events"))
    found = await scraped(api)
    where = {"action": "provision", "provider": "cloud", "engine": "embedded"}
    assert of(found, "landlord_executions_total", outcome="succeeded", **where) == 2
    assert of(found, "landlord_executions_total", outcome="failed", **where) == 1
    assert of(found, "landlord_executions_unfinished", state="queued") == 1
    assert of(found, "landlord_heals_total") == 1

    def bucket(bound: str, outcome: str = "succeeded") -> float | None:
        return of(found, "landlord_execution_seconds_bucket", action="provision", outcome=outcome, le=bound)

    assert [bucket(bound) for bound in ("0.1", "0.25", "2.5", "5.0", "1800.0", "+Inf")] == [1, 1, 1, 2, 2, 2]
    assert [bucket(bound, "failed") for bound in ("1800.0", "+Inf")] == [0, 1]
    succeeded = {"action": "provision", "outcome": "succeeded"}
    assert of(found, "landlord_execution_seconds_sum", **succeeded) == pytest.approx(4.1)
    assert of(found, "landlord_execution_seconds_count", **succeeded) == 2
    plan = {"step": "plan", "outcome": "succeeded"}
    assert of(found, "landlord_step_seconds_bucket", le="0.1", **plan) == 1
    assert of(found, "landlord_step_seconds_count", **plan) == 2
    assert of(found, "landlord_step_seconds_sum", step="plan", outcome="failed") == pytest.approx(8999)

    # And it goes on from there.
    await ends(api.database, "four", ExecutionState.SUCCEEDED, 1.0)
    assert await roll_up(api.database, **KNOWN) == 1
    assert of(await scraped(api), "landlord_executions_total", outcome="succeeded", **where) == 3


async def test_a_count_that_fails_counts_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies between the totals and the mark."""
    await api.create("one")
    await ends(api.database, "one", ExecutionState.SUCCEEDED, 1.0)

    async def dies(*_: object) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as dying:
        dying.setattr(totals, "_remember", dies)
        with pytest.raises(RuntimeError):
            await roll_up(api.database, **KNOWN)
    assert await roll_up(api.database, **KNOWN) == 1
    found = await scraped(api)
    assert [value for (name, _), value in found.items() if name == "landlord_executions_total"] == [1]


async def test_names_that_are_not_enabled_are_one_label(api: Api) -> None:
    for number in range(5):
        await api.create(f"t{number}")
        async with api.database.begin() as connection:
            strange = "UPDATE executions SET provider = tenant_name, spec = jsonb_set(spec, '{compute,provider}', :p)"
            await connection.execute(text(strange), {"p": f'"p{number}"'})
        await ends(api.database, f"t{number}", ExecutionState.SUCCEEDED, 1.0)
    await roll_up(api.database, **KNOWN)
    where = {"action": "provision", "provider": "other", "engine": "other", "outcome": "succeeded"}
    assert of(await scraped(api), "landlord_executions_total", **where) == 5


async def test_what_an_owner_did_is_counted(database: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    """The real owner and engine: a tenant is made, changed, and deleted; then the supervisor's stage runs."""
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    made = await world.create(spec("1"))
    async with world.owner(made) as owner:
        await world.settled(made, "ready")
        await world.patch(spec("2"))
        owner.mailbox.mark_dirty()
        await world.settled(made, "ready", 2)
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(made, "deleted")
    async with world.net() as supervisors, api_on(database_url) as api:
        await api.beat(cluster_id="test")
        assert await Figures(supervisors, dict).run() == 3
        found = await scraped(api)
    where = {"provider": "fake", "engine": "embedded", "outcome": "succeeded"}
    for action in ("provision", "update", "delete"):
        assert of(found, "landlord_executions_total", action=action, **where) == 1
    counted = {
        labels: value for (name, labels), value in found.items() if name == "landlord_step_seconds_count" and value
    }
    steps = {"plan": 2, "apply_compute": 2, "wait_healthy": 2, "retire_previous": 2, "destroy_compute": 1}
    assert counted == {
        frozenset({("step", step), ("outcome", "succeeded")}): number
        for step, number in {**steps, "verify_gone": 1}.items()
    }


async def test_the_supervisor_leaves_what_it_knows(database: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    clockwork, broken = Clockwork(10), Breaker()

    async def fails() -> int:
        raise OSError

    async def works() -> int:
        return 1

    for name, stage in (("due", works), ("engines", fails), ("engines", fails)):
        await clockwork.run(name, stage)
    for _ in range(FAILURES):
        broken.failed(100.0)
    own: dict[str, Any] = {"actors_live": 7, "actors_ceiling": 90, "tenants_waiting": 3}
    own |= {"activations": {"cold": 9}, "departures": {"lost": 2}, "nodes": {"alive": 1, "dead": 0}}
    own |= {"starts_at_once": {"box": 5}}
    own |= of_sweeps(clockwork, {"cloud": broken, "fake": Breaker()}, now=101.0)
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    async with api_on(database_url) as api, world.net(LANDLORD_INTERNAL_CLUSTER_ID=CLUSTER) as supervisors:
        nothing = await scraped(api)
        assert of(nothing, "landlord_actors_live") is None
        assert of(nothing, "landlord_supervisor_heartbeat_age_seconds") is None
        for name in ("one", "two", "three", "four"):
            await api.create(name)
        await api.end("one")
        await api.end("four", ExecutionState.FAILED, Status.DEGRADED)
        spent = with_condition((), ConditionType.HEALTHY, "false", Reason.HEAL_BUDGET, datetime.now(UTC))
        async with database.begin() as connection:
            values = {"conditions": [{"type": one.type, "status": one.status, "reason": one.reason} for one in spent]}
            await connection.execute(update(tables.tenants).where(tables.tenants.c.name == "four").values(values))
            await connection.execute(
                text(
                    "UPDATE executions SET created_at = created_at - interval '1 hour', next_attempt_at = CASE "
                    "WHEN tenant_name = 'two' THEN now() + interval '1 hour' ELSE now() - interval '5 minutes' END "
                    "WHERE state = 'queued'"
                )
            )
        await api.beat()
        await Figures(supervisors, lambda: own).run()
        found = await scraped(api)
    assert of(found, "landlord_actors_live") == 7
    assert of(found, "landlord_actors_ceiling") == 90
    assert of(found, "landlord_tenants_waiting") == 3
    assert of(found, "landlord_tenants", status="ready") == 1
    assert sum(value for (name, _), value in found.items() if name == "landlord_tenants") == 4
    assert of(found, "landlord_heal_budgets_spent") == 1
    assert of(found, "landlord_activations_total", how="cold") == 9
    assert of(found, "landlord_departures_total", reason="lost") == 2
    assert of(found, "landlord_nodes", state="alive") == 1
    assert of(found, "landlord_starts_at_once", node="box") == 5
    assert of(found, "landlord_breaker_open", provider="cloud") == 1
    assert of(found, "landlord_breaker_open", provider="fake") == 0
    assert of(found, "landlord_sweep_stage_failures_total", stage="engines") == 2
    assert of(found, "landlord_sweep_stage_failures_total", stage="due") == 0
    assert of(found, "landlord_sweep_stage_seconds", stage="due") is not None
    assert of(found, "landlord_clusters", state="active") == 1
    assert of(found, "landlord_executions_unfinished", state="queued") == 2
    # Of the two, one waits for its next attempt still, and the other has been due for five minutes.
    assert 300 <= (of(found, "landlord_execution_queue_age_seconds") or 0) < 900
    assert 0 <= (of(found, "landlord_supervisor_heartbeat_age_seconds") or 0) < 300


async def test_requests_are_counted_by_route(api: Api) -> None:
    async with served(api) as client:
        await client.post("/v1/tenants", json=tenant("acme"))
        for name in ("acme", "acme", "none"):
            await client.get(f"/v1/tenants/{name}")
        await client.head("/v1/tenants/acme")
        for path in ("/v1/nothing", "/v1/nothing/else", "/wp-login.php"):
            await client.get(path)
        await client.request("PROPFIND", "/v1/tenants")
        answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    found = {
        tuple(value for _, value in sorted(labels) if _ != "replica"): count
        for (name, labels), count in parsed(answer.text).items()
        if name == "landlord_http_requests_total"
    }
    assert found == {
        ("POST", "/v1/tenants", "2xx"): 1,
        ("GET", "/v1/tenants/{name}", "2xx"): 2,
        ("GET", "/v1/tenants/{name}", "4xx"): 1,
        ("HEAD", "/v1/tenants/{name}", "2xx"): 1,
        ("GET", "none", "4xx"): 3,
        ("other", "/v1/tenants", "4xx"): 1,
    }
    assert "acme" not in answer.text
    wakes = {name: value for (name, labels), value in parsed(answer.text).items() if ("actor", "live") in labels}
    assert wakes == {"landlord_wakes_total": 1}
    pool = {name: value for (name, _), value in parsed(answer.text).items() if name.startswith("landlord_database")}
    assert 1 <= pool["landlord_database_pool_in_use"] <= pool["landlord_database_pool_size"]


async def test_who_may_read_them(api: Api) -> None:
    for role in ("viewer", "operator", "admin"):
        assert (await api.client.get("/metrics", headers=await api.bearer(role))).status_code == 200
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        assert (await api.client.get("/metrics", headers=headers)).status_code == 401
    narrowed = {"name": "n", "role": "viewer", "name_prefix": "acme-"}
    secret = (await api.client.post("/v1/tokens", json=narrowed)).json()["token"]
    refused = await api.client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    unknown = await api.client.get("/metrics?name[]=up")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "validation_failed")


async def test_they_may_be_open(database_url: str) -> None:
    async with api_on(database_url, metrics_open=True) as api:
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {ADMIN}"}):
            assert (await api.client.get("/metrics", headers=headers)).status_code == 200
        assert (await api.client.get("/v1/tenants", headers={"Authorization": ""})).status_code == 401


async def test_of_a_fleet_they_are_few_and_quick(api: Api, database_url: str, tmp_path: Path) -> None:
    """100,000 tenants. The time is the best of five looks, so that a busy machine says nothing."""
    await insert_fleet(api.database, 100_000, TenantSpec.model_validate(tenant()["spec"]))
    async with api.database.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))
    world = World(api.database, database_url, tmp_path, FakeCloud(identity="cloud"))
    await api.beat()
    async with world.net(LANDLORD_INTERNAL_CLUSTER_ID=CLUSTER) as supervisors:
        await Figures(supervisors, dict).run()
    metrics, times, exposition = api.app.state.metrics, [], b""
    for _ in range(5):
        begun = time.perf_counter()
        exposition = await metrics._look()
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.2, times
    found = parsed(exposition.decode())
    assert len(found) < 2_000
    assert sum(value for (name, _), value in found.items() if name == "landlord_tenants") == 100_000


def test_the_example_for_prometheus_asks_where_they_are() -> None:
    job, of_ray = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert job["authorization"]["credentials_file"]
    ports = derive_ports(8000, free=lambda _: True)
    targets = [f"127.0.0.1:{port}" for port in (ports.metrics_export, ports.dashboard_metrics, ports.monitor_metrics)]
    assert of_ray["static_configs"] == [{"targets": targets}]
