"""What an installation costs that does nothing: `python -m benchmarks.rest [--seconds N] [--tenants N]`.

Per cent of one core and MB (proportional), by kind of process, over N seconds without a request: with no tenant, or
with so many of the fake cloud that are ready and have no actor. `grown_mb`: their own memory, without pages of files,
at the end less that at the beginning; `grown_late_mb`: less that in the middle. Processes are found by their home, as
the command finds them.
"""

import argparse
import asyncio
import pickle
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.installed import database_url, home, installed
from benchmarks.results import write
from benchmarks.spent import Spent, memory, own_memory
from controlplane.model import TenantSpec
from controlplane.persistence.database import open_database
from tests.e2e.installation import Installation
from tests.fleet import insert_fleet, instances, serve_fleet
from tests.processes import titled

SETTLE_SECONDS = 20.0
READ_SECONDS = 70.0
"""Until a sweep has read all tenants once more."""
SPEC = TenantSpec.model_validate({"compute": {"provider": "fake", "config": {}}})
CLOUD = """
import json, pickle, sys
from pathlib import Path
import ray
from actors.operator import Operator

ray.init(sys.argv[1], namespace="landlord", log_to_driver=False)
filled = pickle.loads(Path(sys.argv[2]).read_bytes())
Operator().shared("fake", "fill", filled)
print(json.dumps(len(filled)))
"""


def measure(installation: Installation, seconds: float, tenants: int) -> list[dict[str, Any]]:
    if tenants:
        asyncio.run(fill(installation, tenants))
        time.sleep(READ_SECONDS)
    time.sleep(SETTLE_SECONDS)
    before = _with_all(own_memory(installation.processes()))
    spent, began = Spent(installation.processes), time.monotonic()
    time.sleep(seconds / 2)
    between = _with_all(own_memory(installation.processes()))
    time.sleep(seconds / 2)
    spent.look()
    passed = time.monotonic() - began
    held, after = (_with_all(found(installation.processes())) for found in (memory, own_memory))
    many = {"tenants": tenants} if tenants else {}
    return [
        {
            "metric": "rest",
            "kind": kind,
            "unit": "% of a core",
            "cpu": round(cpu / passed * 100, 2),
            "pss_mb": round(held.get(kind, 0.0)),
            "grown_mb": round(after.get(kind, 0.0) - before.get(kind, 0.0), 1),
            "grown_late_mb": round(after.get(kind, 0.0) - between.get(kind, 0.0), 1),
            **many,
        }
        for kind, cpu in _with_all(spent.by_kind()).items()
    ]


def _with_all(by_kind: dict[str, float]) -> dict[str, float]:
    return {**by_kind, "all": sum(by_kind.values())}


async def fill(installation: Installation, tenants: int) -> None:
    """They are ready, and the cloud has what serves them. The supervisor stands still meanwhile, and another one takes
    its place: it would have seen the one without the other."""
    database = open_database(database_url(installation), pool=1)
    await insert_fleet(database, tenants, SPEC)
    [supervisor] = titled(("ray::Supervisor", "ray::supervisor"), installation.processes())
    supervisor.suspend()
    try:
        await serve_fleet(database, "fake-1")
        made = installation.home / "instances"
        made.write_bytes(pickle.dumps(await instances(database, SPEC)))
        await installation.operator_script(CLOUD, str(made))
    finally:
        supervisor.kill()
        await database.dispose()


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--tenants", type=int, default=0)
    options = arguments.parse_args(words)
    settings = {"LANDLORD_COMPUTE_PROVIDERS": "fake,process" if options.tenants else "process"}
    with home() as place, installed(place, purge=False, **settings) as installation:
        write("rest", measure(installation, options.seconds, options.tenants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
