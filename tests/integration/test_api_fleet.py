"""Lists of 100,000 tenants: pages that neither repeat nor miss, while others come and go."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.model import TenantSpec
from tests.fleet import insert_fleet
from tests.integration.api_replica import Api, api_on, tenant

COUNT = 100_000


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        await insert_fleet(api.database, COUNT, TenantSpec.model_validate(tenant()["spec"]))
        yield api


async def walk(api: Api, query: str, before: str, after: str) -> list[str]:
    """The names of all pages; between two of them a tenant is made that sorts before them, and one that sorts after."""
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await api.client.get(f"/v1/tenants?{query}{cursor and '&cursor=' + cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is not None:
            for name in (f"{before}{len(seen)}", f"{after}{len(seen)}"):
                assert (await api.create(name)).status_code == 202
    return seen


async def test_pages_of_a_fleet_are_stable_while_others_come_and_go(api: Api) -> None:
    known = [f"t-{number:06}" for number in range(50_000, 60_000)]
    seen = await walk(api, "name_prefix=t-05&limit=500", "t-05-", "t-05z")
    assert seen[:10_000] == known
    # Those that came behind the cursor are there, those that came before it are not.
    assert set(seen[10_000:]) == {f"t-05z{number}" for number in range(500, 10_001, 500)}

    # By label, a thousandth of them; by what lags, while some do.
    assert await walk(api, "label=shard%3D7&limit=30", "a-", "z-") == [f"t-{n:06}" for n in range(7, COUNT, 1000)]
    async with api.database.begin() as connection:
        lagging = "UPDATE tenants SET generation = 2 WHERE name LIKE 't-0999%' AND observed_generation = 1"
        await connection.execute(text(lagging))
    assert await walk(api, "lagging=true&status=ready&limit=40", "b-", "y-") == [
        f"t-{n:06}" for n in range(99_900, COUNT)
    ]


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_every_page_of_a_fleet(api: Api) -> None:
    seen = await walk(api, "limit=500", "a-", "z-")
    assert seen[:COUNT] == [f"t-{number:06}" for number in range(COUNT)]
    assert set(seen[COUNT:]) == {f"z-{number}" for number in range(500, COUNT + 500, 500)}
