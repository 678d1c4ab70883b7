"""SQL statements of a tenant's life, BEGIN and COMMIT included: `python -m benchmarks.statements`.

Each is a round trip. `create` and `patch`: the intent in the API. `provision` and `update`: what the owner asks from
then until the tenant is ready, on the fake cloud, with the engine in its own process.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import write
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.persistence import bootstrap
from controlplane.persistence.database import open_database
from providers.compute.fake import FakeCloud
from tests.integration.owner import World, spec
from tests.statements import statements


async def count(url: str, home: Path) -> list[dict[str, Any]]:
    database = open_database(url, pool=5)
    await bootstrap.migrate(database)
    world = World(database, url, home, FakeCloud())
    async with statements(database) as create:
        tenant = await world.create(spec("1"))
    owner = world.owner(tenant)
    async with statements(owner.database) as provision, owner:
        await world.settled(tenant, "ready")
    async with statements(database) as patch:
        await world.patch(spec("2"))
    owner = world.owner(tenant)
    async with statements(owner.database) as update, owner:
        await world.settled(tenant, "ready", 2)
    await database.dispose()
    counted = {"create": create, "provision": provision, "patch": patch, "update": update}
    return [{"metric": f"sql_{name}", "unit": "statements", "n": len(asked)} for name, asked in counted.items()]


def main(words: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(words)  # type: ignore[union-attr]
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    server = EmbeddedPostgres(data=home / "pg", sockets=home / "s", log=home / "pg.log")
    try:
        lines = asyncio.run(count(server.start(), home))
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    write("statements", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
