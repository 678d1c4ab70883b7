"""`landlord top`: one look as text and as a document, and the loop that draws it."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import httpx
import pytest

from controlplane.cli import console as consoles
from controlplane.cli.top import drawn, elapsed, follow, top
from controlplane.client.fleet import glance
from landlord_client import Overloaded, Problem, Tenant, Unauthorized, Unreachable
from tests.unit.plain_server import Run, Server, run, server, tenant  # noqa: F401

EMPTY = {"tenants": 0, "paused": 0, "statuses": {}, "under_way_count": 0, "under_way": [], "queued_count": 0}
EMPTY |= {"oldest_queued": None, "unwell_count": 0, "unwell": []}


def named(name: str, status: str, state: str, ago: float, error: str | None = None, **values: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    return {**tenant(status, state, error), "name": name, "workflow_execution_id": name, "updated_at": at, **values}


def seen(*arguments: Any, **values: Any) -> Tenant:
    return Tenant.model_validate(named(*arguments, **values))


@pytest.fixture
def fleet(server: Server) -> Server:  # noqa: F811
    tenants = [
        named("calm", "ready", "succeeded", 9),
        named("held", "ready", "succeeded", 9, paused=True),
        named("ill", "degraded", "succeeded", 185, "no answer at /"),
        named("late", "updating", "pending", 70),
        named("later", "requested", "pending", 60),
        named("making", "provisioning", "running", 5),
    ]
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json={"items": tenants, "next_cursor": None})
    began = (datetime.now(UTC) - timedelta(seconds=65)).isoformat()
    steps = [
        {"name": "plan", "state": "succeeded", "attempts": 1, "error": None},
        {"name": "apply_compute", "state": "backing-off", "attempts": 2, "error": "no such image"},
    ]
    for name in ("late", "making"):
        execution = {"id": name, "created_at": began, "started_at": began, "steps": steps}
        server.answers["GET", f"/v1/executions/{name}"] = httpx.Response(200, json=execution)
    return server


def test_in_a_pipe_it_is_shown_once(fleet: Server, run: Run) -> None:  # noqa: F811
    done = run("top")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines[0].startswith("6 tenants  2 ready")
    assert lines[0].endswith("(1 paused)")
    assert lines[1].startswith("Queued: 2, the oldest is late, for 1 min ")
    assert lines[2] == "Under way: 1"
    assert lines[4].split()[:5] == ["making", "provisioning", "apply_compute", "1", "min"]
    assert lines[4].endswith("no such image")
    assert lines[5] == "Unwell: 1"
    ill = lines[7].split()
    assert (ill[:4], ill[5:]) == (["ill", "degraded", "3", "min"], ["s", "no", "answer", "at", "/"])


def test_as_a_document(fleet: Server, run: Run) -> None:  # noqa: F811
    found = json.loads(run("top", "--once", "-o", "json").stdout)
    assert found["statuses"] == {"ready": 2, "degraded": 1, "updating": 1, "requested": 1, "provisioning": 1}
    assert (found["under_way"][0]["step"], found["oldest_queued"]["tenant"]) == ("apply_compute", "late")


def test_a_fleet_without_tenants(server: Server, run: Run) -> None:  # noqa: F811
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json={"items": [], "next_cursor": None})
    assert run("top").stdout == "0 tenants\nNothing is queued\n"


def test_the_lists_are_short_and_the_counts_are_of_all() -> None:
    tenants = [seen(f"t{number:02}", "failed", "failed", 100 - number) for number in range(30)]
    found = glance(tenants, 3)
    assert (found.unwell_count, [one.name for one in found.unwell]) == (30, ["t00", "t01", "t02"])


def test_what_waits_for_something_outside_is_unwell() -> None:
    waits = {"type": "Waiting", "status": "true", "reason": "ImageNotFound", "message": "not there"}
    tenants = [seen("a", "provisioning", "running", 1, conditions=[waits]), seen("b", "ready", "succeeded", 1)]
    assert [one.name for one in glance(tenants, 9).unwell] == ["a"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.9, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7440, "2 h 4 min"), (266400, "3 d 2 h")],
)
def test_a_time_has_two_units_at_most(seconds: float | None, said: str) -> None:
    assert elapsed(seconds) == said


class Stop(Exception):
    pass


class Loop:
    """Looks that take time, each with an answer or an error; the loop ends after the last."""

    def __init__(self, *looks: tuple[float, Any]) -> None:
        self.now, self.looks = 0.0, list(looks)
        self.drawn: list[str] = []
        self.slept: list[float] = []

    def look(self) -> dict[str, Any]:
        took, found = self.looks.pop(0)
        self.now += took
        if isinstance(found, Exception):
            raise found
        return {**EMPTY, "tenants": found}

    def draw(self, picture: Any) -> None:
        file = StringIO()
        consoles.console(file=file, width=100).print(picture)
        self.drawn.append(file.getvalue())

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.looks:
            raise Stop

    def run(self) -> None:
        follow(self.look, self.draw, sleep=self.sleep, clock=lambda: self.now)


def test_it_is_drawn_every_two_seconds_and_less_often_where_a_look_is_dear() -> None:
    loop = Loop((0.1, 1), (3.0, 2))
    with pytest.raises(Stop):
        loop.run()
    assert loop.slept == [2.0, 12.0]
    assert [one.split()[0] for one in loop.drawn] == ["1", "2"]


def test_while_nobody_answers_the_last_picture_stays_and_says_so() -> None:
    busy = Overloaded("overloaded", {"code": "overloaded"}, 503, None)
    loop = Loop((0, 1), (0, Unreachable("no control plane answers")), (0, busy), (0, 2))
    with pytest.raises(Stop):
        loop.run()
    assert loop.drawn[1].startswith("no control plane answers\n1 tenant\n")
    assert loop.drawn[2].startswith("overloaded\n1 tenant\n")
    assert loop.drawn[3].startswith("2 tenants")


@pytest.mark.parametrize(
    "looks",
    [[(0, Unreachable("none"))], [(0, 1), (0, Unauthorized("no", {"code": "unauthorized"}, 401, None))]],
)
def test_what_does_not_pass_ends_it(looks: list[tuple[float, Any]]) -> None:
    with pytest.raises((Unreachable, Problem)):
        Loop(*looks).run()


def test_a_hostile_name_moves_no_terminal() -> None:
    ill = {"tenant": "a\x1b[2Jb", "status": "failed", "seconds": 1, "reason": "\x1b]0;owned\x07"}
    file = StringIO()
    found = {**EMPTY, "unwell_count": 1, "unwell": [ill]}
    terminal = consoles.console(file=file, force_terminal=True, width=100, color_system=None)
    terminal.print(consoles.Visible(drawn(found)))
    assert "ab" in file.getvalue()
    assert not set(file.getvalue()) & {"\x1b", "\x07"}


def test_on_a_terminal_it_takes_the_whole_screen_until_ctrl_c(
    fleet: Server,
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = StringIO()
    terminal = consoles.console(file=file, force_terminal=True, width=100, height=40, color_system="standard")

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("controlplane.cli.top.output", terminal)
    monkeypatch.setattr(follow, "__kwdefaults__", {**(follow.__kwdefaults__ or {}), "sleep": interrupted})
    done = run("top")
    assert done.exit_code == 0, done.output
    shown = file.getvalue()
    assert shown.startswith("\x1b[?1049h")
    assert "\x1b[?1049l" in shown
    assert "asking http" in shown, "while it waits for the first answer"
    assert "apply_compute" in shown
    assert top.__doc__ is not None
