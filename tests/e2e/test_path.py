"""The whole path over real HTTP: POST, ready, PATCH, DELETE; duplicates, races, kills and bad input."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import docker
import httpx
import pytest

from tests.e2e.installation import Installation, gone, ready, until
from tests.processes import kill, processes_with

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(240)]


def docker_spec(image: str, color: str = "blue", **health: Any) -> dict[str, Any]:
    return {
        "compute": {
            "provider": "docker",
            "config": {"image": image, "env": {"COLOR": color}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1, **health},
    }


PROCESS = [
    "python3",
    "-c",
    "import http.server, os, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(os.environ['COLOR'].encode())\n"
    "    def log_message(self, *a): pass\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()",
    "{port}",
]


def process_spec(color: str = "blue") -> dict[str, Any]:
    return {
        "compute": {"provider": "process", "config": {"command": PROCESS, "env": {"COLOR": color}}},
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


def containers_of(tenant_id: str) -> list[Any]:
    client = docker.from_env()
    try:
        return list(client.containers.list(all=True, filters={"label": f"landlord.tenant-id={tenant_id}"}))
    finally:
        client.close()


async def served(tenant: dict[str, Any]) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(tenant["observed"]["endpoints"][0]["url"])).text.strip()


@pytest.mark.parametrize("provider", ["docker", "process"])
async def test_create_update_delete(installation: Installation, web_image: str, provider: str) -> None:
    name = f"path-{provider}"

    def spec(color: str) -> dict[str, Any]:
        return docker_spec(web_image, color) if provider == "docker" else process_spec(color)

    async with installation.http() as client:
        created = await client.post("/tenants", json={"name": name, "spec": spec(f"blue-{name}")})
        assert created.status_code == 202, created.text
        assert created.headers["location"] == f"/v1/tenants/{name}"
        body = created.json()
        id8 = body["id"].replace("-", "")[-8:]
        assert body["workflow_execution_id"] == f"tenant-{name}-provision-1-{id8}"

        tenant = await ready(client, name)
        assert await served(tenant) == f"blue-{name}"
        assert tenant["workflow"]["state"] == "succeeded"

        patched = await client.patch(
            f"/tenants/{name}", json={"spec": {"compute": {"config": {"env": {"COLOR": f"red-{name}"}}}}}
        )
        assert patched.status_code == 202, patched.text
        assert patched.json()["workflow_execution_id"] == f"tenant-{name}-update-2-{id8}"
        tenant = await ready(client, name)
        assert await served(tenant) == f"red-{name}"
        if provider == "docker":
            assert len(containers_of(tenant["id"])) == 1

        deleted = await client.delete(f"/tenants/{name}")
        assert deleted.status_code == 202
        await gone(client, name)
        assert containers_of(tenant["id"]) == []
        assert processes_with(f"red-{name}") == []
        assert processes_with(f"blue-{name}") == []

        again = await client.post("/tenants", json={"name": name, "spec": spec("green")})
        assert again.status_code == 202, "the name is free"
        await ready(client, name)
        await client.delete(f"/tenants/{name}")
        await gone(client, name)


async def test_30_concurrent_posts_of_one_name(installation: Installation, web_image: str) -> None:
    async with installation.http() as client:
        body = {"name": "crowd", "spec": docker_spec(web_image)}
        answers = await asyncio.gather(*(client.post("/tenants", json=body) for _ in range(30)))
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 29
        tenant = await ready(client, "crowd")
        assert len(containers_of(tenant["id"])) == 1
        await client.delete("/tenants/crowd")
        await gone(client, "crowd")


async def test_api_and_supervisor_at_the_same_moment(installation: Installation, web_image: str) -> None:
    """The intent's NOTIFY wakes the supervisor while the API wakes the actor, and /reconcile does so again."""
    async with installation.http() as client:
        created = await client.post("/tenants", json={"name": "twice", "spec": docker_spec(web_image)})
        assert created.status_code == 202
        woken = await asyncio.gather(*(client.post("/tenants/twice/reconcile") for _ in range(10)))
        assert {answer.status_code for answer in woken} == {202}
        tenant = await ready(client, "twice")
        history = (await client.get("/tenants/twice/executions")).json()["items"]
        assert len(history) == 1
        assert len(containers_of(tenant["id"])) == 1
        await client.delete("/tenants/twice")
        await gone(client, "twice")


async def test_an_actor_killed_between_apply_and_its_record(installation: Installation, web_image: str) -> None:
    point = installation.failpoints / "apply_compute.before_record"
    async with installation.http() as client:
        point.write_text("kill")
        await client.post("/tenants", json={"name": "killed", "spec": docker_spec(web_image)})
        tenant = await ready(client, "killed")
        assert not point.exists(), "the actor was killed there"
        assert len(containers_of(tenant["id"])) == 1
        history = (await client.get("/tenants/killed/executions")).json()["items"]
        assert [item["state"] for item in history] == ["succeeded"]
        await client.delete("/tenants/killed")
        await gone(client, "killed")


class TestFailsWithAMessage:
    """What cannot work ends `failed`, says why, and leaves nothing behind."""

    @pytest.fixture
    def taken_port(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    @pytest.fixture(params=["exits", "no-image", "port-taken", "never-healthy"])
    def case(self, request: pytest.FixtureRequest, web_image: str) -> tuple[str, dict[str, Any], str]:
        spec = docker_spec(web_image, deadline_seconds=3)
        config = spec["compute"]["config"]
        if request.param == "exits":
            config["command"] = ["/bin/sh", "-c", "echo cannot find my database; exit 3"]
            return "exits", spec, "cannot find my database"
        if request.param == "no-image":
            config["image"] = "no-such-image:1"
            return "no-image", spec, "no-such-image:1"
        if request.param == "port-taken":
            port = request.getfixturevalue("taken_port")
            config["ports"] = [{"container_port": 8080, "host_port": port}]
            return "port-taken", spec, str(port)
        spec["health"]["http"]["path"] = "/not-there"
        return "never-healthy", spec, "404"

    async def test_it(self, installation: Installation, case: tuple[str, dict[str, Any], str]) -> None:
        name, spec, words = case
        async with installation.http() as client:
            created = await client.post("/tenants", json={"name": name, "spec": spec})
            assert created.status_code == 202, created.text
            tenant = await until(client, name, lambda t: t["status"] == "failed", 120)
            assert words in tenant["status_message"]
            await client.delete(f"/tenants/{name}")
            await gone(client, name)
            assert containers_of(tenant["id"]) == []


BAD = [
    ({"name": "bad", "spec": {"compute": {"provider": "process", "config": {"command": ["x"]}}, "colour": 1}}, 400),
    ({"name": "Bad_Name", "spec": {"compute": {"provider": "process", "config": {"command": ["x"]}}}}, 400),
    ({"name": "bad", "spec": {"compute": {"provider": "cloud9", "config": {}}}}, 422),
    ({"name": "bad", "spec": {"compute": {"provider": "docker", "config": {"image": 7}}}}, 400),
    ({"name": "bad", "annotations": {"x": "y" * 300_000}, "spec": {"compute": {"provider": "process"}}}, 413),
]


@pytest.mark.parametrize(("body", "status"), BAD)
async def test_bad_input_leaves_no_row(installation: Installation, body: dict[str, Any], status: int) -> None:
    async with installation.http() as client:
        answer = await client.post("/tenants", json=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["code"]
        assert problem["request_id"]
        assert (await client.get(f"/tenants/{body['name']}")).status_code == 404


async def test_no_token_is_401_and_a_wrong_one_too(installation: Installation) -> None:
    async with installation.http(token="wrong") as client:
        for answer in (
            await client.get("/tenants"),
            await client.post("/tenants", json={}, headers={"Authorization": ""}),
        ):
            assert answer.status_code == 401
            assert answer.json()["code"] == "unauthorized"


LIST_STEPS = """
import sys, time
from ray.util.state import list_tasks

prefix, give_up = sys.argv[1], time.monotonic() + 30
steps = ("apply_compute", "plan", "retire_previous", "wait_healthy")
def seen(step):  # Ray hears of tasks in batches, some seconds late
    while not list_tasks(filters=[("name", "=", prefix + step), ("state", "=", "FINISHED")]):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.2)
    return True
print(*(step for step in steps if seen(step)))
"""


async def test_an_operator_script_sees_steps_in_ray(installation: Installation, web_image: str) -> None:
    """Each step is a task named tenant/action/step in Ray's own state API (what the dashboard shows)."""
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "visible", "spec": docker_spec(web_image)})
        await ready(client, "visible")
        listed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", LIST_STEPS, "visible/provision/"],
            env=installation.ray_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert listed.returncode == 0, listed.stderr
        assert listed.stdout.split() == ["apply_compute", "plan", "retire_previous", "wait_healthy"]
        await client.delete("/tenants/visible")
        await gone(client, "visible")


async def test_everything_killed_in_the_middle_of_five_provisions(installation: Installation, web_image: str) -> None:
    names = [f"phoenix-{n}" for n in range(5)]
    async with installation.http() as client:
        held = installation.failpoints / "apply_compute.before_record"
        held.write_text("hold")
        answers = await asyncio.gather(
            *(client.post("/tenants", json={"name": name, "spec": docker_spec(web_image)}) for name in names)
        )
        assert {answer.status_code for answer in answers} == {202}
        for name in names:
            await until(client, name, lambda t: t["status"] == "provisioning", 60)
    kill([*installation.processes(), *installation.postgres_processes()])
    held.unlink()
    await asyncio.to_thread(installation.up)
    async with installation.http() as client:
        for name in names:
            tenant = await ready(client, name, 120)
            assert len(containers_of(tenant["id"])) == 1
            history = (await client.get(f"/tenants/{name}/executions")).json()["items"]
            assert [item["state"] for item in history] == ["succeeded"]
        await asyncio.gather(*(client.delete(f"/tenants/{name}") for name in names))
        for name in names:
            await gone(client, name)
