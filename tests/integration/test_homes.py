"""Two machines, one database, and the same path of the home on both: neither `up` ends what the other one started."""

from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ClusterState, EventType
from controlplane.persistence import bootstrap, clusters, fleet, leases, tables, tokens
from tests.integration.owner import create, spec

A, B = "/var/lib/landlord@aaaaaaaaaaaa", "/var/lib/landlord@bbbbbbbbbbbb"
TOKEN_OF_A, TOKEN_OF_B = "a-token-of-the-machine-a-and-its-cli", "a-token-of-the-machine-b-and-its-cli"
NEXT_OF_B = "the-next-token-of-the-machine-b-alone"


async def up(url: str, home: str, token: str | None = None, before: str | None = None) -> str:
    return await bootstrap.prepare(url, home=home, before=before, build="test", admin_token=token)


async def role_of(database: AsyncEngine, token: str) -> str | None:
    hashed = tokens.hash_token(token)
    found = (await tokens.find_all(database, [hashed])).get(hashed)
    return None if found is None else f"{found.name}: {found.role}"


async def silent(database: AsyncEngine, cluster_id: str) -> None:
    """Its machine went away an hour ago."""
    long_ago = leases.from_now(-3600)
    async with database.begin() as connection:
        await connection.execute(
            update(tables.clusters).where(tables.clusters.c.id == cluster_id).values(heartbeat_at=long_ago)
        )


@pytest_asyncio.fixture
async def tenant_id(database: AsyncEngine) -> UUID:
    return (await create(database, "acme", spec()))[0].id


async def test_an_up_beside_a_cluster_leaves_it_and_its_leases_alone(
    database_url: str, database: AsyncEngine, tenant_id: UUID
) -> None:
    a = await up(database_url, A)
    assert await leases.acquire(database, tenant_id, cluster_id=a, actor_id="one") is not None
    b = await up(database_url, B)
    assert await clusters.state(database, a) is ClusterState.ACTIVE
    assert await leases.acquire(database, tenant_id, cluster_id=b, actor_id="two") is None
    again = await up(database_url, A)
    assert await clusters.state(database, a) is ClusterState.ENDED
    assert await clusters.state(database, b) is ClusterState.ACTIVE
    assert await leases.acquire(database, tenant_id, cluster_id=again, actor_id="three") is not None


async def test_the_tenants_of_a_head_that_is_said_to_be_dead_are_free_at_once(
    database_url: str, database: AsyncEngine, tenant_id: UUID
) -> None:
    dead, another, ours = await up(database_url, A), await up(database_url, "/h@other"), await up(database_url, B)
    for id, address in ((dead, "10.0.0.1"), (another, "10.0.0.2"), (ours, "10.0.0.3")):
        await clusters.announce(database, id, clusters.Head(address, 8000, 24000), build="test")
    assert await leases.acquire(database, tenant_id, cluster_id=dead, actor_id="one") is not None
    assert await clusters.take_over(database, ours, "10.0.0.9", actor="test") == 0
    assert await leases.acquire(database, tenant_id, cluster_id=ours, actor_id="two") is None
    assert await clusters.take_over(database, ours, "10.0.0.1", actor="test") == 1
    assert await clusters.state(database, dead) is ClusterState.ENDED
    assert await clusters.state(database, another) is ClusterState.ACTIVE
    assert await leases.acquire(database, tenant_id, cluster_id=ours, actor_id="two") is not None
    assert await clusters.take_over(database, ours, "10.0.0.1", actor="test") == 0
    async with database.connect() as connection:
        told = (
            await connection.execute(
                select(tables.events.c.message).where(tables.events.c.type == EventType.CLUSTER_TAKEN_OVER)
            )
        ).scalars()
        assert list(told) == [dead]


async def test_the_cluster_that_a_home_remembers_is_ended_whatever_word_it_was_registered_with(
    database_url: str, database: AsyncEngine
) -> None:
    """As by a release that knew homes by their paths."""
    old = await up(database_url, "/var/lib/landlord")
    await up(database_url, A, before=old)
    assert await clusters.state(database, old) is ClusterState.ENDED


async def test_a_cluster_whose_id_its_processes_know_is_registered_twice_and_is_one(
    database_url: str, database: AsyncEngine
) -> None:
    """As where the pods of one Ray cluster bear its name, and its head starts again."""

    async def deployed(id: str) -> str:
        return await bootstrap.prepare(database_url, home=f"ray@{id}", cluster_id=id, build="test", admin_token=None)

    assert [await deployed("pods-a"), await deployed("pods-b")] == ["pods-a", "pods-b"]
    assert await clusters.state(database, "pods-a") is ClusterState.ACTIVE
    await fleet.beat(database, "pods-a", {})
    assert await deployed("pods-a") == "pods-a"
    assert await clusters.state(database, "pods-a") is ClusterState.ACTIVE
    async with database.connect() as connection:
        assert await clusters.last_beat(connection, "pods-a") is None, "its new supervisor has not swept yet"


async def test_each_home_has_its_own_heartbeat(database_url: str, database: AsyncEngine) -> None:
    a, b = await up(database_url, A), await up(database_url, B)
    await fleet.beat(database, b, {})

    async def last(cluster_id: str) -> float | None:
        async with database.connect() as connection:
            return await clusters.last_beat(connection, cluster_id)

    assert await last(a) is None, "it has not swept, whatever the other one did"
    assert await last(b) is not None
    await up(database_url, B)
    assert await last(b) is None, "it has ended"


async def test_clusters_that_live_share_the_connections(database_url: str, database: AsyncEngine) -> None:
    a, b = await up(database_url, A), await up(database_url, B)
    assert (await clusters.live(database, a), await clusters.live(database, b)) == (2, 2)
    await silent(database, a)
    assert await clusters.live(database, b) == 1
    await up(database_url, B)
    assert await clusters.live(database, a) == 2


async def test_each_home_keeps_its_admin_token_beside_the_other(database_url: str, database: AsyncEngine) -> None:
    await up(database_url, A, TOKEN_OF_A)
    b = await up(database_url, B, TOKEN_OF_B)
    assert await role_of(database, TOKEN_OF_A) == "admin: admin"
    assert await role_of(database, TOKEN_OF_B) == "admin@bbbbbbbbbbbb: admin"
    await bootstrap.admit(database, NEXT_OF_B, home=B, before=b)
    assert await role_of(database, TOKEN_OF_B) is None
    assert await role_of(database, NEXT_OF_B) == "admin@bbbbbbbbbbbb: admin"
    assert await role_of(database, TOKEN_OF_A) == "admin: admin"


async def test_a_token_that_both_homes_were_given_is_one(database_url: str, database: AsyncEngine) -> None:
    await up(database_url, A, TOKEN_OF_A)
    await up(database_url, B, TOKEN_OF_A)
    async with database.connect() as connection:
        names = (await connection.execute(select(tables.tokens.c.name))).scalars().all()
    assert names == ["admin"]


async def test_a_home_that_comes_after_a_lost_machine_replaces_its_token(
    database_url: str, database: AsyncEngine
) -> None:
    a = await up(database_url, A, TOKEN_OF_A)
    await silent(database, a)
    await up(database_url, B, TOKEN_OF_B)
    assert await role_of(database, TOKEN_OF_A) is None
    assert await role_of(database, TOKEN_OF_B) == "admin: admin"


async def test_a_revoked_token_of_a_home_is_made_again(database_url: str, database: AsyncEngine) -> None:
    await up(database_url, A, TOKEN_OF_A)
    b = await up(database_url, B, TOKEN_OF_B)
    async with database.begin() as connection:
        await tokens.revoke(connection, "admin@bbbbbbbbbbbb")
    assert await role_of(database, TOKEN_OF_B) is None
    await bootstrap.admit(database, TOKEN_OF_B, home=B, before=b)
    assert await role_of(database, TOKEN_OF_B) == "admin@bbbbbbbbbbbb: admin"


@pytest.mark.parametrize("word", ["", "nobody"])
async def test_a_cluster_that_is_no_row_has_no_heartbeat(database: AsyncEngine, word: str) -> None:
    async with database.connect() as connection:
        assert await clusters.last_beat(connection, word) is None
