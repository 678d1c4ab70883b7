"""The programs of examples/ray, over the Ray client and inside the cluster."""

import asyncio
import csv
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation, gone, ready
from tests.pages import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PROGRAMS = ROOT / "examples" / "ray"
NAMES = sorted(path.name for path in PROGRAMS.glob("*.py") if path.name != "common.py")

SCRIPT = """
import json, sys
import ray
from actors.operator import Operator, connected

def said_of(address, programs, calls):
    import contextlib, io, runpy

    sys.path.insert(0, programs)
    said = {}
    for number, call in enumerate(calls):
        sys.argv = [f"{programs}/{call[0]}", "--address", address, *call[1:]]
        shown = io.StringIO()
        code = 0
        with contextlib.redirect_stdout(shown):
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
        said[number] = [code, shown.getvalue()]
    try:
        Operator().tenant("nobody")
    except LookupError as error:
        said["missing"] = str(error)
    return said

address, way, programs, *calls = sys.argv[1:]
arguments = address, programs, [json.loads(call) for call in calls]
with connected(address):
    if way == "inside":
        said = ray.get(ray.remote(num_cpus=0)(said_of).remote(*arguments))
    else:
        said = said_of(*arguments)
print(json.dumps(said))
"""
"""Runs each program as it is, one after the other in one connection, since each of its own costs seconds; `inside`: in
a task of the cluster."""


async def run(installation: Installation, way: str, *calls: list[str]) -> dict[str, Any]:
    arguments = [way, str(PROGRAMS), *map(json.dumps, calls)]
    said: dict[str, Any] = await installation.operator_script(SCRIPT, *arguments)
    return said


CONNECT = "import sys, ray; ray.init(sys.argv[1]); print('true')"


async def test_scripts_that_begin_together_are_all_served(installation: Installation) -> None:
    """Ray's client server forks a process for each. By gRPC's handlers of a fork one in ten of them died."""
    for _ in range(4):
        assert await asyncio.gather(*[installation.operator_script(CONNECT) for _ in range(4)]) == [True] * 4


@pytest.mark.parametrize("way", ["client", "inside"])
async def test_each_program_sees_and_moves_live_actors(installation: Installation, way: str, tmp_path: Path) -> None:
    name = f"watched-{way}"
    command = ["python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    spec = {
        "compute": {"provider": "process", "config": {"command": command}},
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }
    async with installation.http() as client:
        created = await client.post("/tenants", json={"name": name, "spec": spec})
        assert created.status_code == 202, created.text
        tenant = await ready(client, name)
        said = await run(
            installation,
            way,
            ["live.py", "--json"],
            ["describe.py", name, "--json"],
            ["describe.py"],
            ["replay.py", name, "--json"],
            ["follow.py", name, "--after", "0", "--json"],
            ["look.py", name, "nobody"],
            ["slowest.py", "--json", "--most", "500"],
            ["export.py"],
            ["export.py", "--decisions", name, "--out", str(tmp_path / "decisions.csv")],
            ["live.py", "--busy"],
            ["dismiss.py", name, "nobody"],
            ["drain.py", "--node", "no-such-node"],
            *([program, "--help"] for program in NAMES),
        )
        assert said.pop("missing") == "no actor 'tenant:nobody' lives in this cluster"
        assert [code for code, _ in said.values()] == [0] * (12 + len(NAMES)), said
        texts = [text for _, text in said.values()]
        live, described, supervisor, replayed, followed, looked, slowest, exported, _, _, dismissed, *_ = texts
        assert all(
            "--address" in text and f"python examples/ray/{name}" in text
            for text, name in zip(texts[12:], NAMES, strict=True)
        )

        (actor,) = [one for one in json.loads(live) if one["name"] == name]
        assert (actor["status"], actor["generation"], actor["tenant_id"]) == ("ready", 1, tenant["id"])
        assert actor["memory_bytes"] > 2**20
        assert actor["age_seconds"] > 0
        assert json.loads(described)["rows"]["version"] == tenant["version"]
        assert "sweep" in supervisor

        decided = [one["what"] for one in json.loads(replayed)]
        assert decided.index("Promote") < decided.index("Finish")
        first = json.loads(replayed)[0]
        assert (first["rows"]["queued"], first["rows"]["fence"]) == (tenant["workflow_execution_id"], 1)
        steps = [one["why"] for one in map(json.loads, followed.splitlines()) if one["what"] == "Step"]
        assert [step["state"] for step in steps if step["step"] == "apply_compute"] == ["running", "succeeded"]

        assert looked.splitlines()[1:] == [
            f"{name:<{max(len(name), 6)}}  looks",
            f"{'nobody':<{len(name)}}  no live actor; POST /v1/tenants/nobody/reconcile wakes one",
        ]
        (slow,) = [one for one in json.loads(slowest) if one["tenant"] == name]
        assert 0 < slow["steps"]["apply_compute"] < slow["seconds"]
        assert name in {row["name"] for row in csv.DictReader(StringIO(exported))}
        with (tmp_path / "decisions.csv").open() as file:
            assert {"Promote", "Finish"} <= {row["what"] for row in csv.DictReader(file)}
        assert "asked to leave" in dismissed
        assert (await client.get(f"/tenants/{name}")).json()["status"] == "ready", "its compute stays"
        await client.delete(f"/tenants/{name}")
        await gone(client, name)


def test_a_program_is_a_program_and_says_what_it_does(installation: Installation) -> None:
    """As a person runs it: in a process of its own, with the home's token."""
    address = f"ray://127.0.0.1:{installation.ports['client']}"
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "live.py"), "--address", address, "--home", str(installation.home)],
        env={**os.environ, "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("NAME"), done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_program_has_a_help_and_its_row(name: str) -> None:
    text = (PROGRAMS / name).read_text()
    assert f"python examples/ray/{name}" in text
    assert f"| `{name}` |" in (PROGRAMS / "README.md").read_text()
