"""CPU of a tenant's owner in one process of its own, without Ray: `python -m benchmarks.actor [--rounds N]`.

Milliseconds, user and system, of a fork that makes a tenant ready and leaves, and of one that deletes it; with a
database and platforms that are real. The parent has imported what the fork server imports. By phase: `parts` (settings,
providers), `lease` (the connection, the lease), `started` (until the engine has the execution), `done` (until it has
ended), `left` (until all is closed). Mean of the rounds; the least of them beside it.
"""

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop

from actors.options import CONNECTIONS_PER_ACTOR
from actors.runtime import Runtime, build_runtime
from actors.tenant.mailbox import Mailbox
from actors.tenant.replay import Replay
from actors.tenant.runner import Runner
from benchmarks.path import docker_spec, process_spec
from benchmarks.results import write
from controlplane.local.build import build_id
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.model import StepName, TenantSpec
from controlplane.persistence import bootstrap, executions, leases
from controlplane.persistence.database import open_database
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ExecutionInput, StepSignals
from controlplane.settings import load_settings
from providers import registry
from tests.engines import build_web_image, running_docker
from tests.integration.owner import create, delete

POLL_SECONDS = 0.02
SECONDS = 60.0
PHASES = ("parts", "lease", "started", "done", "left")


def fake_spec() -> dict[str, Any]:
    return {"compute": {"provider": "fake", "config": {"version": "1"}}, "health": {"interval_seconds": 1}}


SPECS: dict[str, Callable[[], dict[str, Any]]] = {"fake": fake_spec, "process": process_spec, "docker": docker_spec}


async def life(environ: dict[str, str], tenant_id: str, execution_id: str) -> dict[str, float]:
    """As `actors.tenant.actor` lives, but for Ray."""
    spent: dict[str, float] = {}
    begun = time.process_time()

    def until(phase: str) -> None:
        spent[phase] = (time.process_time() - begun) * 1000 - sum(spent.values())

    parts: list[Runtime] = []

    async def run_step(request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        await parts[0].steps.run(request.execution_id, step, signals)

    runtime = build_runtime(actor="tenant:bench", run_step=run_step, pool=CONNECTIONS_PER_ACTOR, environ=environ)
    parts.append(runtime)
    until("parts")
    fence = await leases.acquire(runtime.database, UUID(tenant_id), cluster_id="bench", actor_id="bench")
    assert fence is not None, "nobody else owns it"
    until("lease")
    mailbox, replay = Mailbox(), Replay()
    runner = Runner(OwnedTenant(runtime.database, UUID(tenant_id), fence, "bench"), runtime, mailbox, replay)
    living = asyncio.create_task(runner.run())
    await mailbox.outcome(execution_id, SECONDS)
    until("started")
    async with asyncio.timeout(SECONDS):
        while not _at_rest(replay.rows):  # noqa: ASYNC110, to wait for news would be in the figure
            await asyncio.sleep(POLL_SECONDS)
    until("done")
    runner.hurry()
    await runner.give_back(await living)
    await runtime.close()
    until("left")
    return spent


def _at_rest(rows: Mapping[str, Any]) -> bool:
    return bool(rows) and rows["active"] is None and rows["queued"] is None


def forked(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What it gives, in a process of its own."""
    read, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
                os.write(into, json.dumps(loop.run(work())).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return json.loads(said)


async def intend(url: str, provider: str, name: str, *, gone: bool) -> tuple[str, str]:
    """The intent of a client: (tenant, execution)."""
    database = open_database(url, pool=1)
    await bootstrap.migrate(database)
    try:
        if gone:
            execution = await delete(database, name)
        else:
            execution = (await create(database, name, TenantSpec.model_validate(SPECS[provider]())))[1]
        return str(execution.tenant_id), execution.id
    finally:
        await database.dispose()


async def ended(url: str, execution_id: str) -> str:
    database = open_database(url, pool=1)
    try:
        found = await executions.get(database, execution_id)
        assert found is not None
        return found[0].state.value
    finally:
        await database.dispose()


def measure(url: str, environ: dict[str, str], provider: str, rounds: int) -> list[dict[str, Any]]:
    lines = []
    seen: dict[str, list[dict[str, float]]] = {"provision": [], "delete": []}
    for number in range(rounds):
        for what, lives in seen.items():
            if what == "delete" and provider == "fake":
                continue  # its cloud was in the memory of the process that made it
            tenant, execution = forked(lambda: intend(url, provider, f"{provider}-{number}", gone=what == "delete"))  # noqa: B023
            lives.append(forked(lambda: life(environ, tenant, execution)))  # noqa: B023
            assert (state := forked(lambda: ended(url, execution))) == "succeeded", (provider, what, state)  # noqa: B023
    for what, lives in seen.items():
        if not lives:
            continue
        sums = [sum(spent.values()) for spent in lives]
        lines.append(
            {
                "metric": f"actor_cpu_{what}",
                "provider": provider,
                "unit": "ms",
                "n": len(lives),
                "mean": round(statistics.mean(sums), 1),
                "least": round(min(sums), 1),
                **{phase: round(statistics.mean(spent[phase] for spent in lives), 1) for phase in PHASES},
            }
        )
    return lines


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--providers", default=",".join(SPECS))
    given = arguments.parse_args(words)
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    server = EmbeddedPostgres(data=home / "pg", sockets=home / "s", log=home / "pg.log")
    lines: list[dict[str, Any]] = []
    try:
        url = server.start()
        for provider in given.providers.split(","):
            environ = {
                "LANDLORD_HOME": str(home / provider),
                "LANDLORD_DATABASE_URL": url,
                "LANDLORD_COMPUTE_PROVIDERS": provider,
                "LANDLORD_PROCESS_UNSAFE": "true",
                "LANDLORD_INTERNAL_CLUSTER_ID": "bench",
            }
            registry.import_enabled(load_settings(environ))
            build_id()
            gc.collect()
            gc.freeze()
            if provider == "docker":
                with running_docker(home) as engine:
                    build_web_image(engine)
                    lines += measure(url, environ, provider, given.rounds)
            else:
                lines += measure(url, environ, provider, given.rounds)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    write("actor", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
