"""`landlord tenant apply` against a server of plain functions."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.plain_server import Run, Server, run, server, tenant  # noqa: F401

PLAN = {"dry_run": True, "action": "update", "generation": 3, "workflow_execution_id": "e", "changes": []}
CHANGE = {"path": "labels.tier", "before": None, "after": "gold"}
REFUSAL = {
    "type": "about:blank",
    "title": "t",
    "status": 400,
    "detail": "no",
    "code": "validation_failed",
    "errors": [],
}


class Fleet(Server):
    """Tenants by name; a POST, PATCH or DELETE is remembered, and a dry run is planned."""

    def __init__(self, **tenants: dict[str, Any]) -> None:
        super().__init__()
        self.tenants = tenants
        self.refused: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        name = request.url.path.rpartition("/")[2]
        body = json.loads(request.content) if request.content else {}
        if request.method == "GET" and name == "tenants":
            return httpx.Response(200, json={"items": list(self.tenants.values()), "next_cursor": None})
        if request.method == "GET":
            found = self.tenants.get(name)
            missing = {**REFUSAL, "status": 404, "code": "tenant_not_found"}
            return httpx.Response(200, json=found) if found else httpx.Response(404, json=missing)
        if body.get("name", name) in self.refused:
            return httpx.Response(400, json=REFUSAL)
        if "dry_run" in request.url.params:
            changed = request.method == "POST" or body
            return httpx.Response(200, json={**PLAN, "changes": [CHANGE] if changed else []})
        return httpx.Response(202, json=tenant() | {"name": body.get("name", name)})

    @property
    def changed(self) -> list[tuple[str, str]]:
        return [
            (one.method, one.url.path.removeprefix("/v1/tenants"))
            for one in self.asked
            if one.method != "GET" and "dry_run" not in one.url.params
        ]


def there(name: str) -> dict[str, Any]:
    return tenant() | {"name": name, "labels": {"team": "blue"}, "annotations": {}, "version": 7}


@pytest.fixture
def fleet(server: Server, monkeypatch: pytest.MonkeyPatch) -> Fleet:  # noqa: F811
    fleet = Fleet(old=there("old"), same=there("same"), gone=there("gone"))
    monkeypatch.setattr(Server, "__call__", lambda self, request: fleet(request))
    return fleet


FILE = """
name: new
spec: {compute: {provider: fake}}
---
- name: old
  labels: {team: blue, tier: gold}
- name: same
  labels: {team: blue}
"""


def test_create_change_and_leave(fleet: Fleet, run: Run) -> None:  # noqa: F811
    done = run("tenant", "apply", "-f", "-", stdin=FILE)
    assert done.exit_code == 0, done.output
    assert fleet.changed == [("POST", ""), ("PATCH", "/old")]
    patch = fleet.asked[-1]
    assert json.loads(patch.content) == {"labels": {"tier": "gold"}}
    assert patch.headers["If-Match"] == '"7"'
    assert '+ labels.tier: "gold"' in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "new", "old"]


def test_prune_deletes_what_is_selected_and_not_named(fleet: Fleet, run: Run) -> None:  # noqa: F811
    refused = run("tenant", "apply", "-f", "-", "--prune", "-l", "team=blue", stdin=FILE)
    assert (refused.exit_code, fleet.changed) == (2, [])
    assert "say --yes" in refused.stderr
    done = run("tenant", "apply", "-f", "-", "--prune", "-l", "team=blue", "--yes", stdin=FILE)
    assert done.exit_code == 0, done.output
    assert fleet.changed == [("POST", ""), ("PATCH", "/old"), ("DELETE", "/gone")]
    assert any(one.url.params.get("label") == "team=blue" for one in fleet.asked)


def test_if_one_is_refused_nothing_is_changed(fleet: Fleet, run: Run) -> None:  # noqa: F811
    fleet.refused = {"old"}
    done = run("tenant", "apply", "-f", "-", stdin=FILE)
    assert (done.exit_code, fleet.changed) == (1, [])
    assert "old: no; nothing was changed (validation_failed)" in done.stderr


def test_nothing_to_change(fleet: Fleet, run: Run) -> None:  # noqa: F811
    done = run("tenant", "apply", "-f", "-", stdin="{name: same, labels: {team: blue}}")
    assert (done.exit_code, done.stdout, fleet.changed) == (0, "nothing to change\n", [])


def test_a_directory_is_its_files(fleet: Fleet, run: Run, tmp_path: Path) -> None:  # noqa: F811
    for name, content in (("b.yml", "name: second"), ("a.json", '{"name": "first"}'), ("c.txt", "name: [")):
        (tmp_path / name).write_text(content)
    done = run("tenant", "apply", "-f", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert [json.loads(one.content)["name"] for one in fleet.asked if one.method == "POST"] == ["first", "second"] * 2


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "no tenant in these files"),
        ("spec: {}", "a document has no name"),
        ("- 1", "each document must be a mapping"),
        ("name: a\n---\nname: a", "a is in - and in -"),
        ("name: [", "-f"),
    ],
)
def test_unfit_files_are_refused_before_anything_is_asked(fleet: Fleet, run: Run, content: str, word: str) -> None:  # noqa: F811
    done = run("tenant", "apply", "-f", "-", stdin=content)
    assert (done.exit_code, fleet.asked) == (2, [])
    assert word in done.stderr


def test_prune_and_the_selector_go_together(fleet: Fleet, run: Run) -> None:  # noqa: F811
    for options in (["--prune"], ["-l", "a=b"]):
        done = run("tenant", "apply", "-f", "-", *options, stdin=FILE)
        assert (done.exit_code, fleet.asked) == (2, [])
