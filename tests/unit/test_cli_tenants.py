"""The commands about tenants and their executions: what they send, print and end with."""

import json
from typing import Any

import httpx
import pytest

from controlplane.cli.next_steps import NEXT
from tests.unit.plain_server import Run, Server, run, sent, server, tenant

__all__ = ["run", "server"]  # fixtures


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


def test_a_retry_of_an_execution_is_its_tenants(server: Server, run: Run) -> None:
    server.answers["POST", "/v1/tenants/acme/retry"] = httpx.Response(202, json=tenant("updating", "pending"))
    assert "updating" in run("execution", "retry", "acme").stdout


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
