"""A process tenant that means harm, on a whole installation: the program of tests/contract/process, aimed at the real
Ray, Postgres, HAProxy and Docker."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from controlplane.local.paths import Home
from controlplane.local.postgres import RUNNING, EmbeddedPostgres
from controlplane.persistence.database import open_database
from tests.contract.process.bench import HOSTILE, PYTHON
from tests.e2e.installation import Installation, gone, ready

pytestmark = [
    pytest.mark.docker,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="without root there is no isolation, which is said elsewhere"),
]


def tenant(name: str, command: list[str], **env: str) -> dict[str, Any]:
    compute = {"provider": "process", "config": {"command": command, "env": env}}
    return {"name": name, "spec": {"compute": compute, "health": {"min_healthy_seconds": 0}}}


def tree(*roots: Path) -> list[Path]:
    return [path for root in roots for path in root.rglob("*") if not path.is_symlink()]


def of_kind(paths: list[Path], test: Any) -> list[str]:
    return [str(path) for path in paths if path.exists() and test(path.lstat().st_mode)]


def targets_of(installation: Installation) -> dict[str, list[Any]]:
    home = Home(installation.home)
    found = tree(home.root, home.runtime)
    return {
        "files": [str(home.token), str(home.ray_token), str(home.state), *of_kind(found, stat.S_ISREG)[:200]],
        "directories": [str(home.root), *of_kind(found, stat.S_ISDIR)[:200]],
        "sockets": [*of_kind(found, stat.S_ISSOCK), "/var/run/docker.sock"],
        "pids": [process.pid for process in (*installation.processes(), *installation.postgres_processes())],
        "ports": list(json.loads(home.state.read_text())["ports"].values()),
    }


async def test_a_hostile_tenant_gets_nowhere(installation: Installation) -> None:
    ports = json.loads(Home(installation.home).state.read_text())["ports"]
    targets = targets_of(installation)
    assert len(targets["sockets"]) >= 5
    assert len(targets["pids"]) > 10
    async with installation.http() as client:
        await client.post("/tenants", json=tenant("victim", ["/bin/sleep", "600"], TOKEN="hush"))
        await ready(client, "victim")
        command = [PYTHON, "-I", "-S", "-u", "-c", HOSTILE + "\nimport time; time.sleep(600)"]
        await client.post("/tenants", json=tenant("hostile", command, TARGETS=json.dumps(targets)))
        await ready(client, "hostile")
        tries: list[dict[str, Any]] = []
        async with asyncio.timeout(120):
            while not tries or tries[-1]["what"] != "done":
                answer = await client.get("/tenants/hostile/logs", params={"tail": 10_000})
                tries = [json.loads(line) for line in answer.text.splitlines() if line.startswith('{"what"')]
        assert len(tries) > 500
        told = {("call", ports[name]) for name in ("metrics_export", "dashboard_metrics", "monitor_metrics")}
        assert {(one["what"], one["target"]) for one in tries if one["got"]} <= told, "metrics are told to anybody here"
        for name in ("victim", "hostile"):
            assert (await client.get(f"/tenants/{name}")).json()["status"] == "ready"
            await client.delete(f"/tenants/{name}")
            await gone(client, name)
    async with asyncio.timeout(120):  # the actors of the deleted take their leave
        while (await asyncio.to_thread(installation.run, "doctor", check=False)).returncode != 0:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def test_rays_sessions_are_closed(installation: Installation) -> None:
    """Ray opens its directories to everybody, again whenever a client connects; what is around them stays closed."""
    sessions = Home(installation.home).ray_sessions
    assert list(sessions.glob("session_2*/logs"))
    looked = await asyncio.create_subprocess_exec(
        "ls", str(sessions), user=65534, group=65534, stderr=asyncio.subprocess.PIPE
    )
    assert b"Permission denied" in (await looked.communicate())[1]
    around = [path for path in sessions.parents if path.is_relative_to(installation.home)]
    assert any(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in around)


async def test_what_runs_is_not_the_owner_of_the_trail(installation: Installation) -> None:
    postgres = EmbeddedPostgres(Home(installation.home).postgres, Home(installation.home).sockets, Path(os.devnull))
    owner = open_database(postgres.url, pool=1)
    ours = "datname = current_database() AND pid <> pg_backend_pid()"
    query = f"SELECT application_name, usename FROM pg_stat_activity WHERE {ours}"
    async with owner.connect() as connection:
        sessions = dict((await connection.execute(text(query))).all())
    await owner.dispose()
    assert {"landlord api", "landlord supervisor"} <= set(sessions)
    assert set(sessions.values()) == {RUNNING}
    found = json.loads(installation.run("doctor", "-o", "json", check=False).stdout)
    assert found["notes"] == []
