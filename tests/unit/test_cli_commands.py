"""The commands against a server of plain functions: output, exit codes, and one line for what went wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from controlplane.cli.cluster import Cluster
from controlplane.cli.main import app
from controlplane.cli.next_steps import NEXT
from controlplane.client import connection
from controlplane.local.installation import Component, Installation
from controlplane.persistence.nodes import Nodes
from controlplane.settings import Settings
from landlord_client import Client
from tests.pages import ROOT, anchors

Run = Callable[..., Result]


def tenant(status: str = "ready", state: str = "succeeded", error: str | None = None) -> dict[str, Any]:
    return {
        "id": "0190-id",
        "name": "acme",
        "status": status,
        "status_message": "",
        "generation": 2,
        "conditions": [],
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

    monkeypatch.setattr(connection, "client_of", of)
    return server


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        # The contexts of the person who runs the tests are not theirs.
        environ = {"LANDLORD_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        return CliRunner().invoke(app, list(arguments), input=stdin, env=environ)

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
    assert "acme is failed: no such image\nnext: `landlord execution list acme`" in done.stderr


def test_waiting_too_long_is_exit_4(server: Server, run: Run) -> None:
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=tenant("updating", "pending"))
    server.answers["GET", "/v1/tenants/0190-id"] = httpx.Response(200, json=tenant("updating", "pending"))
    done = run("tenant", "wait", "acme", "--timeout", "0.01")
    assert done.exit_code == 4
    assert "next: it goes on; `landlord tenant wait NAME`" in done.stderr


def test_a_wait_says_each_step_though_the_tenant_stays_as_it_is(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.cli.show_tenant.STEPS_SECONDS", 0.0)
    looks = ["plan", "apply_compute", "wait_healthy"]

    def answer(request: httpx.Request) -> httpx.Response:
        if "/executions/" in request.url.path:
            step = {"name": looks.pop(0), "state": "running", "attempts": 1, "error": None}
            return httpx.Response(200, json={"id": "e", "steps": [step]})
        state = ("updating", "running") if looks else ("ready", "succeeded")
        return httpx.Response(200, json=tenant(*state))

    monkeypatch.setattr(Server, "__call__", lambda self, request: answer(request))
    done = run("tenant", "wait", "acme")
    assert done.exit_code == 0, done.output
    steps = [line for line in done.stderr.splitlines() if "running" in line]
    assert steps == [f"acme: updating ({step} running)" for step in ("plan", "apply_compute", "wait_healthy")]


def test_a_problem_is_one_line_and_its_fields(server: Server, run: Run) -> None:
    problem = {
        "detail": "the spec is not valid",
        "code": "validation_failed",
        "errors": [{"loc": "spec.heal", "message": "wrong [word]"}],
    }
    server.answers["PATCH", "/v1/tenants/acme"] = httpx.Response(400, json=problem)
    done = run("tenant", "update", "acme", "--set", "spec.heal=x")
    assert done.exit_code == 1
    told = "error: the spec is not valid (validation_failed)\n  spec.heal: wrong [word]\n"
    assert done.stderr == f"{told}next: {NEXT['validation_failed']}\n"


def test_an_update_of_another_tenant_by_mistake_is_refused(server: Server, run: Run) -> None:
    done = run("tenant", "update", "acme", "--set", "name=other")
    assert done.exit_code == 2
    assert not server.asked
    assert run("tenant", "update", "acme").exit_code == 2


def test_a_tenant_that_waits_says_for_what(server: Server, run: Run) -> None:
    waits = {"type": "Waiting", "status": "true", "reason": "ImageNotFound", "message": "image web:1 is not there"}
    shown = {**tenant("provisioning", "running", "image web:1 is not there"), "conditions": [waits]}
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=shown)
    assert "waits (ImageNotFound): image web:1 is not there" in run("tenant", "get", "acme").stdout


def test_an_execution_shows_its_steps(server: Server, run: Run) -> None:
    execution = {
        "id": "e",
        "state": "running",
        "run": 1,
        "retry_count": 1,
        "trigger_source": "api",
        "started_at": "2026-12-01T01:02:00Z",
        "ended_at": None,
        "error": None,
        "steps": [
            {"name": "plan", "state": "succeeded", "attempts": 1, "error": None},
            {
                "name": "apply_compute",
                "state": "running",
                "attempts": 2,
                "error": "no such image",
                "in_call_to": "docker",
                "in_call_since": "2026-12-01T01:02:03.456Z",
            },
        ],
    }
    server.answers["GET", "/v1/executions/e"] = httpx.Response(200, json=execution)
    shown = run("execution", "get", "e").stdout
    assert "plan           succeeded  1" in shown
    assert "in a call to docker since 2026-12-01T01:02:03Z; before: no such image" in shown


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


def sent(request: httpx.Request) -> tuple[str, str, Any]:
    return request.method, request.url.path, json.loads(request.content) if request.content else None


def test_a_plan_of_a_tenant_that_is_there_is_that_of_an_update(server: Server, run: Run) -> None:
    changes = [
        {"path": "labels.a", "before": None, "after": "x"},
        {"path": "labels.b", "before": "1", "after": None},
        {"path": "spec.heal", "before": "restart", "after": "none"},
    ]
    found = {"action": "update", "generation": 3, "workflow_execution_id": "e", "changes": changes}
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=tenant())
    server.answers["PATCH", "/v1/tenants/acme"] = httpx.Response(200, json=found)
    done = run("tenant", "plan", "acme", "--set", "spec.heal=none")
    assert done.stdout.splitlines() == [
        "acme: update, generation 3, as e",
        '  + labels.a: "x"',
        '  - labels.b: "1"',
        '  ~ spec.heal: "restart" -> "none"',
    ]
    assert sent(server.asked[1]) == ("PATCH", "/v1/tenants/acme", {"spec": {"heal": "none"}})
    assert server.asked[1].url.params["dry_run"] == "true"
    assert json.loads(run("tenant", "plan", "acme", "--set", "spec.heal=none", "-o", "json").stdout) == found


def test_a_plan_of_a_tenant_that_is_not_there_is_that_of_a_creation(server: Server, run: Run) -> None:
    found = {"action": "none", "generation": 1, "workflow_execution_id": "e", "changes": []}
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(404, json={"code": "tenant_not_found"})
    server.answers["POST", "/v1/tenants"] = httpx.Response(200, json=found)
    assert run("tenant", "plan", "--set", "name=acme").stdout == "acme: nothing would change\n"
    assert sent(server.asked[1]) == ("POST", "/v1/tenants", {"name": "acme"})


def test_a_plan_needs_one_tenant_and_something_to_do(server: Server, run: Run) -> None:
    assert run("tenant", "plan", "acme").exit_code == 2
    assert run("tenant", "plan", "--set", "spec.heal=none").exit_code == 2
    assert run("tenant", "plan", "acme", "--set", "name=other").exit_code == 2
    assert not server.asked


@pytest.mark.parametrize(
    ("format", "line"), [("table", "2026-01-01T00:00:00Z  acme"), ("json", '{"id": 5'), ("yaml", "---")]
)
def test_a_watch_is_a_line_an_event(server: Server, run: Run, format: str, line: str) -> None:
    event = {"id": 5, "type": "tenant.status", "tenant": "acme", "status": "deleted", "execution_id": "e"}
    body = json.dumps({**event, "at": "2026-01-01T00:00:00.123456Z"})
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=tenant())
    server.answers["GET", "/v1/tenants/0190-id/watch"] = httpx.Response(200, text=f"id: 5\ndata: {body}\n\n")
    done = run("tenant", "watch", "acme", "--after", "4", "-o", format)
    assert done.exit_code == 0
    assert done.stdout.startswith(line)


def test_logs_are_as_they_were_written(server: Server, run: Run) -> None:
    server.answers["GET", "/v1/tenants/acme/logs"] = httpx.Response(200, text="[bold]one\ntwo\n")
    assert run("tenant", "logs", "acme", "--tail", "2").stdout == "[bold]one\ntwo\n"
    server.answers["GET", "/v1/tenants/acme/logs"] = httpx.Response(200, text="")
    done = run("tenant", "logs", "acme")
    assert (done.stdout, done.stderr) == ("", "acme has written nothing\n")


def test_events_of_all_or_of_one(server: Server, run: Run) -> None:
    event = {"id": 5, "type": "tenant.paused", "tenant": "acme", "status": "ready", "execution_id": None}
    event |= {"trigger_source": "api", "actor": "admin", "message": "why", "at": "2026-01-01T00:00:00.5Z"}
    server.answers["GET", "/v1/events"] = httpx.Response(200, json={"items": [event], "next_cursor": None})
    line = run("events").stdout.splitlines()[1]
    assert line.split() == ["5", "2026-01-01T00:00:00Z", "acme", "tenant.paused", "ready", "api", "admin", "why"]
    server.answers["GET", "/v1/tenants/acme/events"] = httpx.Response(200, json={"items": [], "next_cursor": None})
    assert run("events", "acme").stdout == "no events\n"
    assert run("events", "acme", "-o", "json").stdout == "[]\n"


def test_providers_and_the_schema_of_one(server: Server, run: Run) -> None:
    docker = {"name": "docker", "healthy": False, "detail": "no socket", "one_node": True}
    docker |= {"capabilities": ["logs", "exec_probe"]}
    found = {"compute": [docker], "workflow": [{"name": "embedded", "default": True}]}
    server.answers["GET", "/v1/providers"] = httpx.Response(200, json=found)
    lines = [line.split() for line in run("providers").stdout.splitlines()[1:]]
    assert lines == [
        ["compute", "docker", "unhealthy", "logs,exec_probe,one-node", "no", "socket"],
        ["workflow", "embedded", "default"],
    ]
    server.answers["GET", "/v1/providers/compute/docker/schema"] = httpx.Response(200, json={"type": "object"})
    assert json.loads(run("providers", "--schema", "docker").stdout) == {"type": "object"}


def test_a_node_is_drained_and_taken_back(server: Server, run: Run) -> None:
    server.answers["POST", "/v1/nodes/web-2/drain"] = httpx.Response(200, json={"name": "web-2", "gives_up": "tenants"})
    done = run("node", "drain", "web-2", "--tenants")
    assert done.stdout == "Draining. `landlord node drain web-2 --undo` ends that\n"
    assert server.asked[-1].url.query == b"tenants=true"
    assert run("node", "drain", "web-2").exit_code == 0
    assert server.asked[-1].url.query == b""
    server.answers["POST", "/v1/nodes/web-2/undrain"] = httpx.Response(200, json={"name": "web-2", "gives_up": None})
    assert run("node", "drain", "web-2", "--undo").stdout == "web-2 takes actors and tenants again\n"


def test_nodes_with_what_they_hold(server: Server, run: Run) -> None:
    alpha = {"name": "alpha", "address": "10.0.0.1", "alive": True, "draining": False, "labels": {"disk": "ssd"}}
    alpha |= {"providers": {"docker": {"engine": "id", "tenants": 12}}, "live_actors": 3, "ceiling": 90}
    beta = {**alpha, "name": "beta", "draining": True, "labels": {}, "providers": {}}
    gone = {**beta, "name": "gone", "alive": False, "draining": False, "live_actors": 0, "ceiling": 0}
    found = {"items": [alpha, beta, gone], "checked_at": "2026-01-01T00:00:00.5Z"}
    server.answers["GET", "/v1/nodes"] = httpx.Response(200, json=found)
    done = run("node", "list")
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["alpha", "10.0.0.1", "up", "3", "90", "docker=12", "disk=ssd"],
        ["beta", "10.0.0.1", "draining", "3", "90"],
        ["gone", "10.0.0.1", "down", "0", "0"],
    ]
    assert done.stderr == "as of 2026-01-01T00:00:00Z\n"
    assert json.loads(run("node", "list", "-o", "json").stdout) == found
    server.answers["GET", "/v1/nodes"] = httpx.Response(200, json={"items": [], "checked_at": None})
    assert run("node", "list").stderr == "the supervisor has not looked yet\n"


def token(name: str = "ci", **times: str) -> dict[str, Any]:
    none = {"created_at": "2026-01-01T00:00:00Z", "expires_at": None, "revoked_at": None, "last_used_at": None}
    return {"id": "i", "name": name, "role": "viewer", "name_prefix": "", "selector": "", **none, **times}


def test_of_a_new_token_only_the_secret_is_on_stdout(server: Server, run: Run) -> None:
    server.answers["POST", "/v1/tokens"] = httpx.Response(201, json={**token(), "token": "llt_secret"})
    done = run("token", "create", "ci", "--role", "viewer", "--expires-in", "2h")
    assert done.stdout == "llt_secret\n"
    assert "not shown again" in done.stderr
    assert server.body == {"name": "ci", "role": "viewer", "expires_in_seconds": 7200}
    assert run("token", "create", "ci", "--role", "viewer", "--expires-in", "soon").exit_code == 2
    assert run("token", "create", "ci", "--role", "king").exit_code == 2


def test_a_token_for_some_tenants_and_for_ever(server: Server, run: Run) -> None:
    narrow = {"name_prefix": "acme-", "selector": "tier=gold,env in (a,b)"}
    server.answers["POST", "/v1/tokens"] = httpx.Response(201, json={**token(**narrow), "token": "llt_secret"})
    asked = ("--prefix", "acme-", "--select", narrow["selector"], "--expires", "never")
    done = run("token", "create", "ci", "--role", "operator", *asked)
    assert (done.stdout, "of acme-*,tier=gold,env in (a,b) until" in done.stderr) == ("llt_secret\n", True)
    assert server.body == {"name": "ci", "role": "operator", "expires_in_seconds": "never", **narrow}
    items = [token("a", last_used_at="2026-01-03T10:11:12.5Z"), token("b", name_prefix="acme-")]
    server.answers["GET", "/v1/tokens"] = httpx.Response(200, json={"items": items, "next_cursor": None})
    first, second = [line.split() for line in run("token", "list").stdout.splitlines()[1:]]
    assert (first[3], first[-1], second[3]) == ("all", "2026-01-03T10:11:12Z", "acme-*")


def test_tokens_and_what_became_of_them(server: Server, run: Run) -> None:
    past = "2026-01-02T00:00:00Z"
    items = [token("a"), token("b", expires_at=past), token("c", expires_at=past, revoked_at=past)]
    server.answers["GET", "/v1/tokens"] = httpx.Response(200, json={"items": items, "next_cursor": None})
    states = [line.split()[2] for line in run("token", "list").stdout.splitlines()[1:]]
    assert states == ["active", "expired", "revoked"]
    server.answers["DELETE", "/v1/tokens/c"] = httpx.Response(200, json=items[2])
    assert run("token", "revoke", "c").stdout == f"c: revoked {past}\n"


def test_pause_and_resume_of_each_scope(server: Server, run: Run) -> None:
    paused = {**tenant(), "paused": True}
    server.answers["POST", "/v1/tenants/acme/pause"] = httpx.Response(202, json=paused)
    assert run("pause", "acme").stdout == "acme: paused\n"
    server.answers["POST", "/v1/admin/pause"] = httpx.Response(200, json={"all": False, "providers": ["docker"]})
    assert run("pause", "--provider", "docker").stdout == "provider docker: paused\n"
    server.answers["POST", "/v1/admin/resume"] = httpx.Response(200, json={"all": False, "providers": ["docker"]})
    assert run("resume", "--all").stdout == "all: resumed; still paused: provider docker\n"
    server.answers["POST", "/v1/tenants/acme/resume"] = httpx.Response(202, json=tenant())
    server.answers["GET", "/v1/tenants/acme"] = httpx.Response(200, json=paused)
    assert "acme: resumed; it is still paused" in run("resume", "acme").stdout
    bodies = [sent(request)[2] for request in server.asked if "/admin/" in request.url.path]
    assert bodies == [{"provider": "docker"}, {"all": True}]


@pytest.mark.parametrize("arguments", [["resume"], ["resume", "a", "--all"], ["pause", "--all", "--provider", "x"]])
def test_a_pause_has_one_scope(server: Server, run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert not server.asked


def test_pause_alone_says_what_is_paused(server: Server, run: Run) -> None:
    page = {"items": [{**tenant(), "paused": True}], "next_cursor": None}
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json=page)
    for providers, lines in ([], "tenant acme\n"), (["docker"], "provider docker\n"):
        pauses = {"all": False, "providers": providers}
        server.answers["GET", "/v1/admin/pause"] = httpx.Response(200, json=pauses)
        assert run("pause").stdout == lines
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json={"items": [], "next_cursor": None})
    server.answers["GET", "/v1/admin/pause"] = httpx.Response(200, json={"all": False, "providers": []})
    assert run("pause").stdout == "nothing is paused\n"


def test_the_doctor_says_in_a_sentence_that_all_is_well(server: Server, run: Run) -> None:
    server.answers["GET", "/v1/admin/consistency"] = httpx.Response(200, json={"differences": []})
    done = run("doctor")
    assert (done.exit_code, done.stdout) == (0, "No differences: rows, actors and resources agree.\n")
    assert json.loads(run("doctor", "-o", "json").stdout) == {"differences": []}


def test_a_difference_is_exit_1_in_every_format(server: Server, run: Run) -> None:
    found = {"differences": [{"kind": "orphan", "tenant": "acme", "resource": "3f", "detail": "no row"}]}
    server.answers["GET", "/v1/admin/consistency"] = httpx.Response(200, json=found)
    done = run("doctor")
    assert (done.exit_code, done.stdout.splitlines()[1].split()) == (1, ["orphan", "acme", "3f", "no", "row"])
    done = run("doctor", "-o", "json")
    assert (done.exit_code, json.loads(done.stdout)) == (1, found)


def test_a_difference_names_its_runbook_beside_the_table(server: Server, run: Run) -> None:
    found = [
        {"kind": kind, "tenant": None, "resource": None, "detail": ""} for kind in ("orphan", "leftover", "orphan")
    ]
    server.answers["GET", "/v1/admin/consistency"] = httpx.Response(200, json={"differences": found})
    told = [line.split()[-1] for line in run("doctor").stderr.splitlines() if "what to do" in line]
    assert told == ["docs/runbooks.md#leftover", "docs/runbooks.md#orphan"]
    for link in told:
        page, _, anchor = link.partition("#")
        assert anchor in anchors(ROOT / page)
    assert "what to do" not in run("doctor", "-o", "json").stderr


def test_a_retry_of_an_execution_is_its_tenants(server: Server, run: Run) -> None:
    server.answers["POST", "/v1/tenants/acme/retry"] = httpx.Response(202, json=tenant("updating", "pending"))
    assert "updating" in run("execution", "retry", "acme").stdout


def test_the_status_has_a_row_for_each_machine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = {"name": "alpha", "address": "10.0.0.1", "alive": True, "live_actors": 3, "ceiling": 90}
    alpha |= {"providers": {"docker": {"engine": "id", "tenants": 12}}}
    lost = {**alpha, "name": "beta", "alive": False, "providers": {}, "live_actors": 0, "ceiling": 0}
    found = Nodes((alpha, lost), "2026-01-01T00:00:00Z", draining=False)
    monkeypatch.setattr(Installation, "components", lambda _: [Component("api", True, "http://x.test")])
    monkeypatch.setattr(Cluster, "of", lambda _: SimpleNamespace(id="c", draining=False, nodes=lambda: found))
    done = run("status")
    assert done.exit_code == 0, done.exception
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["node", "alpha", "up", "10.0.0.1", "3", "of", "90", "actors,", "tenants", "on", "docker:", "12"],
        ["node", "beta", "down", "10.0.0.1", "lost"],
    ]


def test_draining_where_nothing_runs_is_exit_3(run: Run) -> None:
    for arguments in (["drain"], ["drain", "--undo"]):
        done = run(*arguments)
        assert done.exit_code == 3
        assert "landlord up" in done.stderr


@pytest.mark.parametrize(
    ("found", "exit_code", "said"),
    [
        ({"broken": [], "noted": None}, 0, f"head 9:{'a' * 64}"),
        ({"broken": [], "noted": "pruned"}, 0, "the noted head is older than what is kept"),
        ({"broken": [], "noted": "changed"}, 1, "the noted head is not there as it was"),
        ({"broken": [4, 5], "noted": None}, 1, "event 4, or the one before it, is not as it was written"),
    ],
)
def test_the_trail_is_compared_with_its_hashes(
    server: Server, run: Run, found: dict[str, Any], exit_code: int, said: str
) -> None:
    head = {"id": 9, "hash": "a" * 64}
    server.answers["GET", "/v1/admin/trail"] = httpx.Response(
        200, json={"checked": 9, "after": 0, "head": head, **found}
    )
    done = run("events", "verify", "--head", f"3:{'b' * 64}")
    assert done.exit_code == exit_code
    assert said in done.stdout + done.stderr
    assert server.asked[0].url.params["noted"] == f"3:{'b' * 64}"
    assert json.loads(run("events", "verify", "-o", "json").stdout)["broken"] == found["broken"]


def test_a_token_goes_to_no_other_machine_in_clear(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    monkeypatch.setenv("LANDLORD_URL", "http://10.0.0.5:8000")
    done = run("tenant", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: LANDLORD_URL: http://10.0.0.5:8000 is not https")
    assert done.stderr.count("\n") == 1


def test_a_file_of_authorities_that_is_none_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    monkeypatch.setenv("LANDLORD_URL", "https://landlord.test")
    # The option sets it for the process that the command is.
    monkeypatch.setenv("LANDLORD_CA", "")
    done = run("--ca", "/nowhere/ca.pem", "tenant", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: LANDLORD_CA: /nowhere/ca.pem cannot be read")


@pytest.mark.parametrize(
    ("ended", "code", "told"),
    [
        ({"exit_code": 3, "output": "said\n", "cut": False}, 3, ""),
        ({"exit_code": None, "output": "said\n", "cut": False}, 4, "not ended within 2 s; it may still run\n"),
        (
            {"exit_code": None, "output": "said\n", "cut": True},
            4,
            "there was more output, which is left out\nleft before its end\n",
        ),
    ],
)
def test_a_command_in_a_tenant_ends_with_its_own_code(
    server: Server, run: Run, ended: dict[str, Any], code: int, told: str
) -> None:
    server.answers["POST", "/v1/tenants/acme/exec"] = httpx.Response(200, json=ended)
    done = run("tenant", "exec", "acme", "--timeout", "2", "--", "ls", "-l")
    assert (done.exit_code, done.stdout, done.stderr) == (code, "said\n", told)
    assert json.loads(server.asked[0].content) == {"command": ["ls", "-l"], "timeout_seconds": 2.0}
