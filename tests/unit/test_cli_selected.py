"""`-l` on delete and watch, against a server of plain functions."""

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.unit.plain_server import Run, Server, run, server, tenant  # noqa: F401


def named(name: str, **values: Any) -> dict[str, Any]:
    return {**tenant(), "id": f"id-{name}", "name": name, "version": 7, **values}


def page(*items: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"items": list(items), "next_cursor": None})


@pytest.fixture
def two(server: Server) -> Server:  # noqa: F811
    server.answers["GET", "/v1/tenants"] = page(named("a"), named("b"))
    for name in "ab":
        deleting = named(name, status="deleting")
        server.answers["DELETE", f"/v1/tenants/id-{name}"] = httpx.Response(202, json=deleting)
    return server


def deleted(server: Server) -> list[str]:  # noqa: F811
    return [one.url.path.removeprefix("/v1/tenants/") for one in server.asked if one.method == "DELETE"]


def test_what_matches_is_deleted_as_it_was_shown(two: Server, run: Run) -> None:  # noqa: F811
    done = run("tenant", "delete", "-l", "team=blue", "--yes")
    assert done.exit_code == 0, done.output
    assert two.asked[0].url.params["label"] == "team=blue"
    assert deleted(two) == ["id-a", "id-b"]
    assert {one.headers["If-Match"] for one in two.asked if one.method == "DELETE"} == {'"7"'}
    assert done.stderr.splitlines() == ["a: delete", "b: delete"]


def test_where_nobody_can_be_asked_it_takes_a_yes(two: Server, run: Run) -> None:  # noqa: F811
    done = run("tenant", "delete", "-l", "team=blue")
    assert (done.exit_code, deleted(two)) == (2, [])
    assert "2 tenants would be deleted: say --yes" in done.stderr


@pytest.mark.parametrize(("said", "code", "gone"), [("y\n", 0, ["id-a", "id-b"]), ("n\n", 1, [])])
def test_on_a_terminal_it_asks(
    two: Server,
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    code: int,
    gone: list[str],
) -> None:
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("controlplane.cli.consent.sys", terminal)
    done = run("tenant", "delete", "-l", "a=b", stdin=said)
    assert (done.exit_code, deleted(two)) == (code, gone), done.output
    assert "Delete 2 tenants with their compute?" in done.stderr


def test_one_that_changed_meanwhile_stays_and_is_exit_1(two: Server, run: Run) -> None:  # noqa: F811
    problem = {"detail": "it is version 8 now", "code": "version_mismatch"}
    two.answers["DELETE", "/v1/tenants/id-a"] = httpx.Response(412, json=problem)
    done = run("tenant", "delete", "-l", "team=blue", "--yes")
    assert (done.exit_code, deleted(two)) == (1, ["id-a", "id-b"])
    assert "a: it is version 8 now (version_mismatch)" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "b"]


def test_the_wait_is_for_all_of_them(two: Server, run: Run) -> None:  # noqa: F811
    two.answers["GET", "/v1/tenants/id-a"] = httpx.Response(200, json=named("a", status="deleted"))
    two.answers["GET", "/v1/tenants/id-b"] = httpx.Response(200, json=named("b", status="failed"))
    done = run("tenant", "delete", "-l", "team=blue", "--yes", "--wait")
    assert done.exit_code == 1
    assert "not deleted: b" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["acme", "-l", "a=b"],
        ["-l", "", "--yes"],
        ["-l", "a=b", "-l", " ", "--yes"],
        ["-l", "a=b", "--if-match", "1"],
    ],
)
def test_a_delete_is_of_one_name_or_of_what_a_selector_selects(two: Server, run: Run, words: list[str]) -> None:  # noqa: F811
    assert run("tenant", "delete", *words).exit_code == 2
    assert two.asked == []


class Labelled(Server):
    """Tenants whose labels change while events are read."""

    def __init__(self, looks: list[set[str]], events: list[dict[str, Any]]) -> None:
        super().__init__()
        self.looks = looks
        self.events = events

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/v1/tenants":
            prefix = request.url.params.get("name_prefix", "")
            found = sorted(name for name in self.looks.pop(0) if name.startswith(prefix))
            return page(*map(named, found))
        if request.url.path == "/v1/events":
            return httpx.Response(200, json={"items": [{"id": 7}], "next_cursor": None})
        if not self.events:
            raise KeyboardInterrupt
        lines = [f"data: {json.dumps(event)}\n\n" for event in self.events]
        self.events = []
        return httpx.Response(200, text="".join(lines))


def test_a_watch_shows_who_matches_from_and_to_the_change(
    server: Server,  # noqa: F811
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = [
        ("tenant.status", "a"),
        ("tenant.status", "b"),
        ("pause.set", None),
        ("tenant.metadata_changed", "b"),
        ("tenant.status", "b"),
        ("tenant.updated", "a"),
        ("tenant.status", "a"),
        ("tenant.created", "c"),
    ]
    events = [
        {
            "id": 10 + number,
            "type": type,
            "tenant": name,
            "status": "ready",
            "execution_id": None,
            "at": "2026-12-01T00:00:00Z",
        }
        for number, (type, name) in enumerate(told)
    ]
    # A tenant called ca begins like c, and is not c.
    labelled = Labelled([{"a"}, {"a", "b"}, {"b"}, {"b", "ca"}], events)
    monkeypatch.setattr(Server, "__call__", lambda self, request: labelled(request))
    done = run("tenant", "watch", "-l", "team=blue", "-o", "json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [10, 13, 14]
    selected = [one.url.params["label"] for one in labelled.asked if one.url.path == "/v1/tenants"]
    assert selected == ["team=blue"] * 4
    # Where it begins is fixed before it reads who matches.
    assert [one.url.path for one in labelled.asked[:3]] == ["/v1/events", "/v1/tenants", "/v1/watch"]
    assert labelled.asked[2].headers["Last-Event-ID"] == "7"


def test_a_watch_is_of_a_name_or_of_what_a_selector_selects(server: Server, run: Run) -> None:  # noqa: F811
    assert run("tenant", "watch", "acme", "-l", "a=b").exit_code == 2
    assert server.asked == []
