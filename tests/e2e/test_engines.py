"""A whole installation with three engines: embedded, a real Restate server and Step Functions on an emulated account.

Each scenario is one tenant on each engine, at the same time. The tests share the installation and stand in the order
in which they break more of it.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from tests.aws import Answer, AwsEmulator, AwsFront, Forward, executions_of, machines_of, refusal
from tests.collector import Collector
from tests.e2e.engines import ENGINES
from tests.e2e.installation import Installation, gone, ready, until
from tests.e2e.test_path import containers_of, docker_spec
from tests.processes import kill, such, title
from tests.restate import RestateServer

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(300)]

CLUSTER = "e2e"
MADE = "apply_compute.before_record"
"""Failpoint: the container is there, and no row knows it."""


@pytest.fixture(scope="module")
def installation(three_engines: Installation) -> Installation:
    return three_engines


def tenant(name: str, engine: str, image: str) -> dict[str, Any]:
    return {"name": name, "spec": {**docker_spec(image), "workflow": {"provider": engine}}}


def change(**config: Any) -> dict[str, Any]:
    return {"spec": {"compute": {"config": config}}}


async def created(client: httpx.AsyncClient, name: str, engine: str, image: str) -> dict[str, Any]:
    answer = await client.post("/tenants", json=tenant(name, engine, image))
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def patched(client: httpx.AsyncClient, name: str, **config: Any) -> str:
    answer = await client.patch(f"/tenants/{name}", json=change(**config))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["workflow_execution_id"])


async def removed(client: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        assert (await client.delete(f"/tenants/{name}")).status_code == 202
    for name in names:
        await gone(client, name, 120)


async def states(client: httpx.AsyncClient, name: str) -> list[str]:
    """Of its executions, newest first."""
    return [item["state"] for item in (await client.get(f"/tenants/{name}/executions")).json()["items"]]


def on_ecs(name: str, engine: str, image: str) -> dict[str, Any]:
    containers = [{"name": "web", "image": image, "memory": 64}]
    config = {"cluster": CLUSTER, "task_definition": {"containerDefinitions": containers}, "desired_count": 2}
    health = {"interval_seconds": 1, "min_healthy_seconds": 0}  # ECS's own: its service has no address
    spec = {"compute": {"provider": "ecs", "config": config}, "health": health, "workflow": {"provider": engine}}
    return {"name": name, "spec": spec}


def backs_off(count: int, body: dict[str, Any]) -> bool:
    """After so many attempts or more."""
    return body["workflow"]["sub_state"] == "backing-off" and body["workflow"]["retry_count"] >= count


async def one_container(tenant_id: str) -> None:
    """Until there is one: its step is held then."""
    give_up = time.monotonic() + 60
    while (made := containers_of(tenant_id)) == []:
        assert time.monotonic() < give_up, "nothing was made in 60 s"
        await asyncio.sleep(0.1)
    assert len(made) == 1


@asynccontextmanager
async def held(installation: Installation) -> AsyncIterator[None]:
    """Within the block steps that have made a container do not go on."""
    point = installation.failpoints / MADE
    point.write_text("hold")
    try:
        yield
    finally:
        point.unlink()


def step_workers(installation: Installation) -> list[psutil.Process]:
    return such(lambda process: "StepWorker" in title(process), installation.processes())


async def test_a_change_is_one_trace_through_each_engine(
    installation: Installation, web_image: str, collector: Collector
) -> None:
    """The client began it. The steps are in it whoever runs them: an actor, Restate's handler, a worker from SQS."""
    names = {engine: f"traced-{engine}" for engine in ENGINES}
    traces = {engine: secrets.token_hex(16) for engine in ENGINES}
    async with installation.http() as client:
        for engine, name in names.items():
            header = {"traceparent": f"00-{traces[engine]}-{secrets.token_hex(8)}-01"}
            answer = await client.post("/tenants", json=tenant(name, engine, web_image), headers=header)
            assert answer.status_code == 202, answer.text
        for name in names.values():
            await ready(client, name, 120)
        steps = {f"step {name}" for name in ("plan", "apply_compute", "wait_healthy", "retire_previous")}
        for engine, trace in traces.items():
            wanted = {"POST /v1/tenants", "commit", "wake", f"start at {engine}", "apply at docker", *steps}
            found = await asyncio.to_thread(collector.until, trace, wanted.issubset)
            parts = {span.name: span.part for span in found}
            assert parts["POST /v1/tenants"] == "api"
            assert parts[f"start at {engine}"] == f"tenant:{names[engine]}"
            by = {"embedded": "tenant:traced-embedded", "restate": "restate-endpoint", "stepfunctions": "step-worker"}
            assert parts["step apply_compute"].startswith(by[engine])
            applied = next(span for span in found if span.name == "apply at docker")
            assert [span for span in found if span.parent == applied.id and span.name.startswith("docker: ")]
        await removed(client, *names.values())


async def test_a_tenant_on_ecs_from_its_post_to_its_delete(
    installation: Installation, aws_emulator: AwsEmulator
) -> None:
    """What the account holds is asked behind Landlord's back: one service that runs all of its tasks, then its
    successor alone, then nothing, and no task definition of ours."""
    account = aws_emulator.client("ecs")
    account.create_cluster(clusterName=CLUSTER)
    async with installation.http() as client:
        for engine in ENGINES:
            answer = await client.post("/tenants", json=on_ecs(f"cloud-{engine}", engine, "web:1"))
            assert answer.status_code == 202, answer.text
        for engine in ENGINES:
            assert_serves(account, await ready(client, f"cloud-{engine}", 120), "web:1")
        for engine in ENGINES:
            patch = {"spec": {"compute": on_ecs(f"cloud-{engine}", engine, "web:2")["spec"]["compute"]}}
            answer = await client.patch(f"/tenants/cloud-{engine}", json=patch)
            assert answer.status_code == 202, answer.text
        for engine in ENGINES:
            assert_serves(account, await ready(client, f"cloud-{engine}", 120), "web:2")
            assert await states(client, f"cloud-{engine}") == ["succeeded", "succeeded"]
        await removed(client, *(f"cloud-{engine}" for engine in ENGINES))
    assert services(account, "landlord-cloud-") == []
    assert families(account, "landlord-cloud-") == []
    account.close()


def assert_serves(account: Any, tenant: dict[str, Any], image: str) -> None:
    """The tenant's one service is that of its generation, runs that image, and has no older definition beside it."""
    base = f"landlord-{tenant['name']}-{tenant['id'][-8:]}"
    (service,) = services(account, base)
    assert service["serviceName"] == f"{base}-g{tenant['generation']}"
    assert tenant["observed"]["resources"] == {"service": service["serviceArn"]}
    assert (tenant["observed"]["healthy"], tenant["observed"]["endpoints"]) == (True, [])
    assert (service["status"], service["desiredCount"], service["runningCount"]) == ("ACTIVE", 2, 2)
    definition = account.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    assert [container["image"] for container in definition["containerDefinitions"]] == [image]
    assert families(account, base) == [f"{base}-g{tenant['generation']}"]


def services(account: Any, prefix: str) -> list[dict[str, Any]]:
    """Of those that the emulator lists, it calls the deleted ones INACTIVE."""
    listed = account.list_services(cluster=CLUSTER)["serviceArns"]
    named = [arn for arn in listed if f"/{prefix}" in arn]
    found = account.describe_services(cluster=CLUSTER, services=named)["services"] if named else []
    return [service for service in found if service["status"] != "INACTIVE"]


def families(account: Any, prefix: str) -> list[str]:
    """Of the task definitions that may still be used; the emulator's own list of families knows no status."""
    listed = account.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    found = {arn.rpartition("/")[2].partition(":")[0] for arn in listed}
    return sorted(family for family in found if family.startswith(prefix))


async def test_create_update_twice_delete_while_a_killed_workers_step_comes_back(
    installation: Installation, web_image: str
) -> None:
    async def life(client: httpx.AsyncClient, engine: str) -> None:
        name = f"life-{engine}"
        ids = {(await created(client, name, engine, web_image))["workflow_execution_id"]}
        body = await ready(client, name, 120)
        assert body["workflow"]["provider"] == engine
        for color in ("red", "green"):
            ids.add(await patched(client, name, env={"COLOR": color}))
            await ready(client, name, 120)
            assert len(containers_of(body["id"])) == 1
        assert len(ids) == 3
        await removed(client, name)
        assert containers_of(body["id"]) == []
        trail = (await client.get(f"/tenants/{body['id']}/events?limit=500")).json()["items"]
        assert {event["trigger_source"] for event in trail} == {"api"}

    async with installation.http() as client:
        async with held(installation):
            killed = await created(client, "killed", "stepfunctions", web_image)
            await one_container(killed["id"])
            assert kill(step_workers(installation)) == 2
        await asyncio.gather(*(life(client, engine) for engine in ENGINES))
        await ready(client, "killed", 120)
        assert len(containers_of(killed["id"])) == 1
        assert await states(client, "killed") == ["succeeded"]
        await removed(client, "killed")


async def test_an_image_that_does_not_exist_backs_off_in_sight_and_a_patch_restarts_it(
    installation: Installation, web_image: str
) -> None:
    async def scenario(client: httpx.AsyncClient, engine: str) -> None:
        name = f"missing-{engine}"
        await created(client, name, engine, "no-such-image:1")
        for count in (1, 2):
            tenant = await until(client, name, partial(backs_off, count))
            workflow = tenant["workflow"]
            assert "no-such-image:1" in workflow["error"]
            assert workflow["next_attempt_at"]
            (waits,) = [said for said in tenant["conditions"] if said["type"] == "Waiting"]
            assert waits["status"] == "true"
            assert "no-such-image:1" in waits["message"]
        await patched(client, name, image=web_image)
        body = await ready(client, name, 120)
        assert "Waiting" not in [said["type"] for said in body["conditions"]]
        assert body["workflow"]["retry_count"] == 0
        assert await states(client, name) == ["succeeded", "superseded"]
        overtaken = (await client.get(f"/tenants/{name}/executions")).json()["items"][1]
        assert overtaken["superseded_by"] == body["workflow_execution_id"]
        await removed(client, name)

    async with installation.http() as client:
        await asyncio.gather(*(scenario(client, engine) for engine in ENGINES))


@pytest.mark.long  # the same is shown on each engine by the contract tests, without Ray
async def test_a_delete_during_a_slow_step_leaves_nothing(installation: Installation, web_image: str) -> None:
    async with installation.http() as client:
        async with held(installation):
            names = [f"slow-{engine}" for engine in ENGINES]
            tenants = [await created(client, f"slow-{engine}", engine, web_image) for engine in ENGINES]
            for one in tenants:
                await one_container(one["id"])
            for name in names:
                assert (await client.delete(f"/tenants/{name}")).status_code == 202
                await until(client, name, lambda t: t["status"] == "deleting")
        for name, one in zip(names, tenants, strict=True):
            await gone(client, name, 120)
            assert containers_of(one["id"]) == []


async def test_an_engine_that_is_down_at_post_is_503_and_ready_once_it_is_back(
    installation: Installation, restate: RestateServer, aws: AwsFront, aws_emulator: AwsEmulator, web_image: str
) -> None:
    """Step Functions takes each start, and its answers are lost: it is one execution all the same."""

    def lose_the_answer(request: dict[str, Any], forward: Forward) -> Answer:
        forward()
        return refusal("InternalServerError", "the answer was lost", 500)

    async def refused(client: httpx.AsyncClient, engine: str) -> str:
        name = f"later-{engine}"
        answer = await client.post("/tenants", json=tenant(name, engine, web_image))
        assert answer.status_code == 503, answer.text
        problem = answer.json()
        assert problem["code"] == "workflow_trigger_failed"
        assert answer.headers["Location"] == f"/v1/tenants/{name}"
        assert int(answer.headers["Retry-After"]) > 0
        body = (await client.get(f"/tenants/{name}")).json()
        assert (body["workflow"]["state"], body["id"]) == ("pending", problem["tenant"]["id"])
        assert {c["type"]: c["reason"] for c in body["conditions"]}["Triggered"] == "TriggerFailed"
        return str(problem["workflow_execution_id"])

    async with installation.http() as client:
        restate.kill()
        aws.rules["StartExecution"] = lose_the_answer
        ids = await asyncio.gather(*(refused(client, engine) for engine in ("restate", "stepfunctions")))
        restate.start()
        del aws.rules["StartExecution"]
        for engine, id in zip(("restate", "stepfunctions"), ids, strict=True):
            body = await ready(client, f"later-{engine}", 120)
            assert body["workflow_execution_id"] == id
            assert len(containers_of(body["id"])) == 1
        assert executions_at(aws_emulator).count(ids[1]) == 1
        await removed(client, "later-restate", "later-stepfunctions")


def executions_at(emulator: AwsEmulator) -> list[str]:
    """Names of all executions of provision, asked at the engine."""
    client = emulator.client("stepfunctions")
    found = executions_of(client, machines_of(client)["e2e-provision"])
    client.close()
    return found


async def test_the_whole_control_plane_killed_while_the_engines_go_on(
    installation: Installation, restate: RestateServer, aws_emulator: AwsEmulator, web_image: str
) -> None:
    """And Restate with it, in the middle of the same provisions."""
    async with installation.http() as client, held(installation):
        tenants = [await created(client, f"phoenix-{engine}", engine, web_image) for engine in ENGINES]
        for one in tenants:
            await one_container(one["id"])
        restate.kill()
        restate.start()
        assert kill([*installation.processes(), *installation.postgres_processes()]) > 10
    await asyncio.to_thread(installation.up)
    async with installation.http() as client:
        for one in tenants:
            await ready(client, one["name"], 120)
            assert len(containers_of(one["id"])) == 1
            assert await states(client, one["name"]) == ["succeeded"]
        assert executions_at(aws_emulator).count(tenants[2]["workflow_execution_id"]) == 1
        await removed(client, *(one["name"] for one in tenants))
