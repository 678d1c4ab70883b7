"""From the release before: a database that its own code has left (tests/fixtures) is migrated, and this release goes on
with it. What serves is not touched."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.local.account import client
from controlplane.model import Tenant
from controlplane.persistence import bootstrap, tables, tenants
from controlplane.persistence.chain import verify
from controlplane.persistence.database import open_database
from controlplane.ports import ResourceState
from providers.compute.fake import FakeCloud, Instance
from tests.databases import copied, create_database
from tests.integration.api_replica import api_on
from tests.integration.owner import World, patch, spec
from tests.integration.test_roll_back import Fakes
from tests.pages import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
RELEASES = sorted(path.stem for path in FIXTURES.glob("*.sql"))


class Kept(FakeCloud):
    """The cloud of that release, with what it held."""

    def __init__(self, held: list[dict[str, Any]]) -> None:
        super().__init__(identity="cloud")
        for one in held:
            self._by_id[one["id"]] = Instance(**{**one, "state": ResourceState(one["state"])})
            self._ids[one["name"]] = one["id"]
        self._numbers = count(1000)


@pytest.fixture(params=RELEASES, scope="session")
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def left(release: str) -> dict[str, Any]:
    """What there was beside the database."""
    told: dict[str, Any] = json.loads((FIXTURES / f"{release}.json").read_text())
    return told


@pytest_asyncio.fixture(scope="session")
async def migrated(postgres: str, release: str) -> str:
    """The name of that release's database, migrated once; each test has a copy."""
    name = re.sub(r"\W", "_", release)
    url = await create_database(postgres, name)
    target = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    file = FIXTURES / f"{release}.sql"
    loading = client("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "--dbname", target, "--file", str(file))
    done = await asyncio.to_thread(subprocess.run, loading, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    database = open_database(url, pool=1)
    await bootstrap.migrate(database)
    await database.dispose()
    return name


@pytest_asyncio.fixture
async def upgraded_url(postgres: str, migrated: str) -> AsyncIterator[str]:
    async with copied(postgres, migrated) as url:
        yield url


@pytest_asyncio.fixture
async def upgraded(upgraded_url: str) -> AsyncIterator[AsyncEngine]:
    database = open_database(upgraded_url, pool=5, overflow=20)
    yield database
    await database.dispose()


@pytest.fixture
def world(upgraded: AsyncEngine, upgraded_url: str, tmp_path: Path, left: dict[str, Any]) -> World:
    return World(upgraded, upgraded_url, tmp_path, Kept(left["instances"]))


async def of(database: AsyncEngine, name: str) -> Tenant:
    view = await tenants.get(database, name)
    assert view is not None
    return view.tenant


async def test_what_serves_is_kept_and_changed(upgraded: AsyncEngine, world: World) -> None:
    tenant = await of(upgraded, "serves")
    before = world.cloud.instances()
    async with world.owner(tenant) as owner:
        owner.mailbox.mark_dirty(look=True)
        looked = world.cloud.calls.get("find", 0)
        await world.until(tenant, lambda _: world.cloud.calls.get("find", 0) > looked + 2)
        kept = await world.settled(tenant, "ready", 2)
        assert kept.execution.id == tenant.newest_execution, "nothing was done for it"
        assert {one.id for one in world.cloud.instances()} == {one.id for one in before}
        await patch(upgraded, "serves", spec("3"))
        owner.mailbox.mark_dirty()
        await world.settled(tenant, "ready", 3)
    ours = [one for one in world.cloud.instances() if one.labels["landlord.tenant"] == "serves"]
    assert [one.config["version"] for one in ours] == ["3"]


async def test_what_was_under_way_ends(upgraded: AsyncEngine, world: World) -> None:
    """Queued, or being deleted, when the release before was stopped."""
    for name, ends in (("waits", "ready"), ("deleting", "deleted")):
        tenant = await of(upgraded, name)
        async with world.owner(tenant):
            await world.settled(tenant, ends)
    assert not [one for one in world.cloud.instances() if one.labels["landlord.tenant"] == "deleting"]


async def test_what_failed_is_changed_until_it_works(upgraded: AsyncEngine, world: World) -> None:
    tenant = await of(upgraded, "failed")
    assert tenant.status == "failed"
    await patch(upgraded, "failed", spec("2"))
    async with world.owner(tenant):
        await world.settled(tenant, "ready", 2)


async def test_clients_find_what_they_had(upgraded: AsyncEngine, upgraded_url: str, left: dict[str, Any]) -> None:
    async with api_on(upgraded_url, more={"fake": Fakes()}) as api:
        api.client.headers["Authorization"] = f"Bearer {left['token']}"
        listed = (await api.client.get("/v1/tenants")).json()["items"]
        names = ["by-api", "deleting", "failed", "paused", "serves", "waits"]
        assert sorted(one["name"] for one in listed) == names
        found = (await api.client.get("/v1/tenants/by-api")).json()
        assert (found["labels"], found["generation"]) == ({"tier": "gold"}, 1)
        assert (await api.client.get("/v1/tenants/gone")).status_code == 410
        assert (await api.client.get("/v1/tenants/paused")).json()["paused"]
        update = (await api.client.get("/v1/tenants/serves/executions")).json()["items"][0]
        done = (await api.client.get(f"/v1/executions/{update['id']}")).json()
        assert [step["state"] for step in done["steps"]] == ["succeeded"] * 4
        assert (await api.client.get("/v1/events", params={"limit": 500})).json()["items"]
        changed = await api.client.patch("/v1/tenants/by-api", json={"labels": {"tier": "silver"}})
        assert changed.status_code == 200, changed.text


async def test_counts_and_trail_go_on(upgraded: AsyncEngine) -> None:
    query = select(tables.tenant_counts.c.live).where(tables.tenant_counts.c.scope == "all")
    async with upgraded.connect() as connection:
        assert (await connection.execute(query)).scalar_one() == 6
    await patch(upgraded, "serves", spec("3"))
    assert not (await verify(upgraded)).broken


async def test_a_second_start_changes_nothing(upgraded: AsyncEngine) -> None:
    before = await _rows(upgraded)
    await bootstrap.migrate(upgraded)
    assert await _rows(upgraded) == before


async def _rows(database: AsyncEngine) -> list[list[tuple[Any, ...]]]:
    async with database.connect() as connection:
        return [
            [tuple(row) for row in await connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        ]
