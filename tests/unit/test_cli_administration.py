"""The commands about the installation: machines, tokens, pauses, differences, events."""

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from controlplane.cli.cluster import Cluster
from controlplane.local.installation import Component, Installation
from controlplane.persistence.nodes import Nodes
from tests.pages import ROOT, anchors
from tests.unit.plain_server import Run, Server, run, sent, server, tenant

__all__ = ["run", "server"]  # fixtures


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
