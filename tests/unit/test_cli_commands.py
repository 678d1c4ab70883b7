"""The commands against a server of plain functions: output, exit codes, and one line for what went wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from controlplane.cli.main import app
from controlplane.client import Client
from controlplane.settings import Settings

Run = Callable[..., Result]


def tenant(status: str = "ready", state: str = "succeeded", error: str | None = None) -> dict[str, Any]:
    return {
        "id": "0190-id",
        "name": "acme",
        "status": status,
        "status_message": "",
        "generation": 2,
        "spec": {"compute": {"provider": "docker", "config": {}}},
        "observed": {"endpoints": [{"name": "http", "url": "http://127.0.0.1:32768"}]},
        "workflow_execution_id": "tenant-acme-update-2-9f8e7d6c",
        "workflow": {"provider": "embedded", "state": state, "error": error},
        "paused": False,
    }


class Server:
    """Answers by method and path; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], httpx.Response] = {}
        """A path may be asked again: the answer stays."""
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answers[request.method, request.url.path]

    @property
    def body(self) -> Any:
        return json.loads(self.asked[0].content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    def of(settings: Settings) -> Client:
        return Client(settings.base_url, "secret", transport=httpx.MockTransport(server), sleep=lambda _: None)

    monkeypatch.setattr(Client, "of", of)
    return server


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env={"LANDLORD_HOME": str(tmp_path)})

    return run


def test_create_sends_the_document_and_shows_a_line(server: Server, run: Run) -> None:
    server.answers["POST", "/v1/tenants"] = httpx.Response(202, json=tenant("requested", "pending"))
    done = run("tenant", "create", "acme", "-f", "-", "--set", "spec.heal=none", stdin="spec: {compute: {}}")
    assert done.exit_code == 0
    assert server.body == {"name": "acme", "spec": {"compute": {}, "heal": "none"}}
    title, line = done.stdout.splitlines()
    assert title.split() == ["NAME", "STATUS", "GENERATION", "PROVIDER", "ENDPOINT", "EXECUTION", "MESSAGE"]
    assert line.split() == [
        "acme",
        "requested",
        "2",
        "docker",
        "http://127.0.0.1:32768",
        "tenant-acme-update-2-9f8e7d6c",
    ]


def test_json_is_the_document_itself(server: Server, run: Run) -> None:
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=tenant())
    assert json.loads(run("tenant", "get", "acme", "-o", "json").stdout) == tenant()
    assert "status: ready" in run("tenant", "get", "acme", "-o", "yaml").stdout


def test_a_list_in_a_pipe_is_never_cut_off(server: Server, run: Run) -> None:
    long = "x" * 300
    page = {"items": [tenant(error=long)], "next_cursor": None}
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json=page)
    assert long in run("tenant", "list", "--label", "a=b").stdout
    assert server.asked[0].url.params["label"] == "a=b"


def test_waiting_for_what_fails_is_exit_1_with_the_reason(server: Server, run: Run) -> None:
    server.answers["DELETE", "/v1/tenants/acme"] = httpx.Response(202, json=tenant("deleting", "running"))
    server.answers["GET", "/v1/tenants/0190-id"] = httpx.Response(200, json=tenant("failed", "failed", "no such image"))
    done = run("tenant", "delete", "acme", "--wait")
    assert done.exit_code == 1
    assert "acme is failed: no such image" in done.stderr


def test_waiting_too_long_is_exit_4(server: Server, run: Run) -> None:
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=tenant("updating", "pending"))
    server.answers["GET", "/v1/tenants/0190-id"] = httpx.Response(200, json=tenant("updating", "pending"))
    assert run("tenant", "wait", "acme", "--timeout", "0.01").exit_code == 4


def test_a_problem_is_one_line_and_its_fields(server: Server, run: Run) -> None:
    problem = {
        "detail": "the spec is not valid",
        "code": "validation_failed",
        "errors": [{"loc": "spec.heal", "message": "wrong [word]"}],
    }
    server.answers["PATCH", "/v1/tenants/acme"] = httpx.Response(400, json=problem)
    done = run("tenant", "update", "acme", "--set", "spec.heal=x")
    assert done.exit_code == 1
    assert done.stderr == "error: the spec is not valid (validation_failed)\n  spec.heal: wrong [word]\n"


def test_an_update_of_another_tenant_by_mistake_is_refused(server: Server, run: Run) -> None:
    done = run("tenant", "update", "acme", "--set", "name=other")
    assert done.exit_code == 2
    assert not server.asked
    assert run("tenant", "update", "acme").exit_code == 2


def test_an_execution_shows_its_steps(server: Server, run: Run) -> None:
    execution = {
        "id": "e",
        "state": "running",
        "run": 1,
        "retry_count": 1,
        "trigger_source": "api",
        "started_at": "now",
        "ended_at": None,
        "error": None,
        "steps": [{"name": "plan", "state": "succeeded", "attempts": 1, "error": None}],
    }
    server.answers["GET", "/v1/executions/e"] = httpx.Response(200, json=execution)
    assert "plan  succeeded  1" in run("execution", "get", "e").stdout


def test_no_control_plane_is_exit_3_and_says_what_to_do(run: Run) -> None:
    done = run("tenant", "list")
    assert done.exit_code == 3
    assert "landlord up" in done.stderr


def test_status_of_nothing_is_exit_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_PORT", "1")
    done = run("status", "-o", "json")
    assert done.exit_code == 3
    assert [part["state"] for part in json.loads(done.stdout)] == ["down", "down"]


def test_down_where_nothing_runs_is_success(run: Run) -> None:
    assert run("down").exit_code == 0


def test_a_bad_setting_is_one_line_and_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_PORT", "x")
    for command in (["up"], ["down"], ["status"], ["tenant", "list"], ["config", "show"]):
        done = run(*command)
        assert done.exit_code == 2
        assert "LANDLORD_PORT" in done.stderr
        assert done.stderr.count("\n") == 1


def test_config_shows_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    shown = run("config", "show").stdout
    assert "hush" not in shown
    assert "LANDLORD_TOKEN" in shown
