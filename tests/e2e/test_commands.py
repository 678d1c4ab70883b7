"""The operators' commands against a control plane that runs, as a person and a script use them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from landlord_client import Client, Problem, Tenant
from tests.e2e.installation import LANDLORD, Installation
from tests.processes import processes_with

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(240)]

REVOKED_SECONDS = 5
"""Every replica refuses a revoked token by then (docs/api.md)."""
SPEC = {
    "compute": {
        "provider": "process",
        "config": {"command": ["python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]},
    },
    "health": {"http": {"path": "/"}, "interval_seconds": 1},
}


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[Client]:
    """What a test looks at besides the command that it is about."""
    with Client(f"http://127.0.0.1:{installation.port}", installation.token) as client:
        yield client


@pytest.fixture(scope="module")
def tenant(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tenant on the process provider, planned and made by the command."""
    file: Path = tmp_path_factory.mktemp("commands") / "tenant.yaml"
    file.write_text(json.dumps({"name": "operated", "spec": SPEC}))
    planned = installation.run("tenant", "plan", "-f", str(file)).stdout
    assert planned.startswith("operated: provision, generation 1")
    installation.run("tenant", "create", "-f", str(file), "--wait")
    yield "operated"
    installation.run("tenant", "delete", "operated", "--wait", check=False)


def test_a_plan_changes_nothing(installation: Installation, client: Client, tenant: str) -> None:
    planned = installation.run("tenant", "plan", tenant, "--set", "spec.compute.config.env.COLOR=blue").stdout
    assert planned.startswith(f"{tenant}: update, generation 2")
    assert '+ spec.compute.config.env.COLOR: "blue"' in planned
    assert client.get_tenant(tenant).generation == 1


def test_files_are_applied_and_what_they_do_not_name_is_pruned(
    installation: Installation, client: Client, tmp_path: Path
) -> None:
    labels = {"suite": "applied"}
    documents = [{"name": f"applied-{n}", "labels": labels, "spec": SPEC} for n in ("one", "two")]
    (tmp_path / "tenants.json").write_text(json.dumps(documents))
    select = ("--prune", "-l", "suite=applied", "--yes", "--wait")
    installation.run("tenant", "apply", "-f", str(tmp_path), *select)
    assert {client.get_tenant(document["name"]).status for document in documents} == {"ready"}
    assert installation.run("tenant", "apply", "-f", str(tmp_path), *select).stdout == "nothing to change\n"
    # What was shown can be applied again; the other tenant goes.
    shown = installation.run("tenant", "get", "applied-one", "-o", "yaml").stdout
    (tmp_path / "tenants.json").unlink()
    (tmp_path / "one.yaml").write_text(shown)
    installation.run("tenant", "apply", "-f", str(tmp_path), *select)
    assert [one.name for one in client.iterate_tenants(selector="suite=applied")] == ["applied-one"]
    installation.run("tenant", "delete", "-l", "suite=applied", "--yes", "--wait")
    assert list(client.iterate_tenants(selector="suite=applied")) == []


COMPOSE = """
x-common: &common
  init: true
  logging: {driver: local, options: {max-size: 1m}}
services:
  web:
    <<: *common
    image: ${IMAGE}
    ports: ["8080"]
    environment: {COLOR: "${COLOR:-blue}", DB_PASSWORD: hunter2-composed}
    labels: ["traefik.enable=true"]
    volumes: [data:/data]
    deploy: {resources: {limits: {memory: 64M}}}
    healthcheck: {test: ["CMD", "test", "-e", "/www/index.html"], interval: 500ms, timeout: 10s}
    depends_on: [db]
  db: {image: db:1}
volumes: {data: }
"""


def test_a_service_of_a_compose_file_becomes_a_tenant(
    installation: Installation, client: Client, web_image: str, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    service = ("--compose", f"{tmp_path / 'compose.yaml'}:web")
    made = installation.run_with("tenant", "create", "composed", *service, "--wait", IMAGE=web_image)
    assert "depends_on: make each of them a tenant" in made.stderr
    assert "hunter2" not in made.stdout + made.stderr

    def answers() -> str:
        (endpoint,) = client.get_tenant("composed").observed.endpoints
        return httpx.get(endpoint.url, trust_env=False).text

    assert answers() == "blue\n"
    inside = ("sh", "-c", "cat /www/index.html; exit 7")
    ran = installation.run("tenant", "exec", "composed", "--", *inside, check=False)
    assert (ran.returncode, ran.stdout) == (7, "blue\n")
    assert "tenant.command_run" in {event.type for event in client.list_events("composed").items}
    installation.run_with("tenant", "update", "composed", *service, "--wait", IMAGE=web_image, COLOR="green")
    assert answers() == "green\n"
    installation.run("tenant", "delete", "composed", "--wait")


def test_another_home_calls_it_by_its_context_and_sees_it_at_a_glance(
    installation: Installation, tenant: str, tmp_path: Path
) -> None:
    url, token = f"http://127.0.0.1:{installation.port}", str(installation.home / "token")
    elsewhere = {"LANDLORD_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "LANDLORD_PORT": "1"}
    added = installation.run_with("context", "add", "here", "--url", url, "--token-file", token, **elsewhere)
    assert added.returncode == 0, added.stderr
    shown = installation.run_with("--context", "here", "top", "-o", "json", **elsewhere)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["statuses"].get("ready", 0) >= 1
    assert found["tenants"] == sum(found["statuses"].values())
    assert installation.run_with("tenant", "get", tenant, **elsewhere).returncode == 3


def test_the_machine_is_a_node_with_what_it_holds(installation: Installation, client: Client, tenant: str) -> None:
    def seen() -> bool:
        """By a sweep since the tenant is there. Each platform is shown once it has answered."""
        held = [node.providers for node in client.list_nodes().items]
        return bool(held) and set(held[0]) == {"process", "docker"} and held[0]["process"].tenants > 0

    deadline = time.monotonic() + 60
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.2)
    [node] = json.loads(installation.run("node", "list", "-o", "json").stdout)["items"]
    assert (node["name"], node["address"]) == ("first.of-the_suite", "127.0.0.1")
    assert (node["alive"], node["draining"]) == (True, False)
    assert set(node["providers"]) == {"process", "docker"}
    assert node["providers"]["process"]["tenants"] >= 1
    assert node["ceiling"] > 1
    row = installation.run("node", "list").stdout.splitlines()[1].split()
    assert row[:3] == [node["name"], "127.0.0.1", "up"]
    components = json.loads(installation.run("status", "-o", "json").stdout)
    [shown] = [one for one in components if one["component"] == f"node {node['name']}"]
    assert (shown["state"], shown["address"]) == ("up", "127.0.0.1")
    assert f" of {node['ceiling']} actors, " in shown["detail"]
    assert "tenants on process: " in shown["detail"]


def test_what_it_wrote_and_what_was_done_for_it(installation: Installation, tenant: str) -> None:
    assert '"GET / HTTP/1.1" 200' in installation.run("tenant", "logs", tenant).stdout
    assert "tenant.created" in installation.run("events", tenant).stdout
    assert "process" in installation.run("providers").stdout
    ran = installation.run("tenant", "exec", tenant, "--timeout", "15", "--", "sh", "-c", "id -u; exit 5", check=False)
    assert ran.returncode == 5, ran.stderr
    assert (ran.stdout == "0\n") == (os.geteuid() != 0 == int(ran.stdout)), "root gives it an account of its own"
    assert "nothing to retry" in installation.run("execution", "retry", tenant, check=False).stderr


def test_what_it_writes_is_followed(installation: Installation, client: Client, tenant: str) -> None:
    """What was there, and what comes; Ctrl-C ends it."""
    with subprocess.Popen(
        # Whoever runs the tests in the background has Ctrl-C ignored for them.
        ["env", "--default-signal=INT", LANDLORD, "tenant", "logs", tenant, "-f", "--tail", "1"],
        env=installation.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert '"GET / HTTP/1.1" 200' in following.stdout.readline()
        httpx.get(f"{client.get_tenant(tenant).observed.endpoints[0].url}/asked-by-test", trust_env=False)
        assert any("asked-by-test" in line for line in following.stdout)
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 0


def use_until_refused(viewer: Client, tenant: str) -> None:
    """A replica that did not revoke the token itself has the notice a moment later."""
    give_up = time.monotonic() + REVOKED_SECONDS
    while time.monotonic() < give_up:
        viewer.get_tenant(tenant)


def test_a_token_opens_what_its_role_may_until_it_is_revoked(
    installation: Installation, client: Client, tenant: str
) -> None:
    secret = installation.run("token", "create", "commands", "--role", "viewer", "--expires-in", "1h").stdout.strip()
    with Client(client.url, secret) as viewer:
        assert viewer.get_tenant(tenant).name == tenant
        with pytest.raises(Problem, match="viewer"):
            viewer.pause_tenant(tenant)
        installation.run("token", "revoke", "commands")
        with pytest.raises(Problem) as caught:
            use_until_refused(viewer, tenant)
    assert caught.value.code == "unauthorized"
    assert "revoked" in installation.run("token", "list").stdout


def test_a_restart_in_place_is_another_process_of_the_same_resource(
    installation: Installation, client: Client, tenant: str
) -> None:
    """Everything for real: command, API, the owner in Ray, the engine, the process."""
    before = client.get_tenant(tenant)
    (old,) = serving(before)
    restarted = installation.run("tenant", "restart", tenant, "--wait", "-o", "json")
    after = client.get_tenant(tenant)
    (new,) = serving(after)
    assert json.loads(restarted.stdout)["status"] == after.status == "ready"
    assert (after.generation, after.observed.resources) == (before.generation, before.observed.resources)
    assert old != new
    assert httpx.get(after.observed.endpoints[0].url, trust_env=False).status_code == 200


def test_what_is_paused_waits_and_is_done_when_resumed(installation: Installation, client: Client, tenant: str) -> None:
    installation.run("pause", tenant)
    assert f"tenant {tenant}" in installation.run("pause").stdout
    client.update_tenant(tenant, color("operated-red"))
    assert client.get_tenant(tenant).workflow.state == "pending"
    installation.run("resume", tenant)
    assert client.wait_tenant(tenant, timeout=60).observed_generation == 2


def test_a_drained_cluster_begins_nothing_until_up(installation: Installation, client: Client, tenant: str) -> None:
    assert differences(installation, tenant) == []
    installation.run("drain", "--wait", "--timeout", "60")
    try:
        assert "draining" in installation.run("status").stdout
        (pid,) = processes_with("operated-red")
        os.kill(pid, signal.SIGKILL)
        assert differences(installation, tenant) == ["stopped_resource"]
        assert installation.run("doctor", check=False).returncode == 1
        client.update_tenant(tenant, color("operated-green"))
        assert client.get_tenant(tenant).workflow.state == "pending"
    finally:
        assert "the drain is over" in installation.run("up").stderr
    assert client.wait_tenant(tenant, timeout=60).observed_generation == 3
    assert differences(installation, tenant) == []


def test_a_watch_ends_with_its_tenant(installation: Installation, client: Client, tenant: str) -> None:
    newest = client.list_events(tenant, limit=1).items[0].id
    watch = subprocess.Popen(
        [LANDLORD, "tenant", "watch", tenant, "--after", str(newest), "-o", "json"],
        env=installation.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stderr is not None
    assert tenant in watch.stderr.readline()
    client.delete_tenant(tenant)
    told, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert events[-1]["status"] == "deleted"


def serving(tenant: Tenant) -> list[int]:
    """The pids that listen where the tenant is reached."""
    port = httpx.URL(tenant.observed.endpoints[0].url).port
    listening = [one for one in psutil.net_connections("tcp4") if one.status == psutil.CONN_LISTEN]
    return [one.pid for one in listening if one.laddr.port == port and one.pid is not None]


def color(value: str) -> dict[str, Any]:
    return {"spec": {"compute": {"config": {"env": {"COLOR": value}}}}}


def differences(installation: Installation, tenant: str) -> list[str]:
    found = json.loads(installation.run("doctor", "-o", "json", check=False).stdout)["differences"]
    return [difference["kind"] for difference in found if difference["tenant"] == tenant]
