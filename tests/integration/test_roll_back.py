"""A roll-back to this release: rows as a newer one has written them, with fields, words and columns that this one does
not know. The API and the owner of this release work on them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from sqlalchemy import text

from controlplane.model import Status, Tenant, TenantSpec
from controlplane.model.tolerance import overlay
from controlplane.persistence.resting import resting
from providers.compute.fake import FakeCompute
from tests.fakes import StubPlatform
from tests.integration.api_replica import Api, api_on
from tests.integration.owner import World, spec


class Fakes(StubPlatform):
    """The fake cloud as far as the API calls it."""

    name = "fake"
    config_model = FakeCompute.config_model


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url, cloud=Fakes()) as api:
        yield api


async def newer(world: World, statement: str, **values: Any) -> None:
    """What the newer release wrote."""
    async with world.database.begin() as connection:
        await connection.execute(text(statement), values)


async def column(world: World, name: str, of: str = "tenants") -> Any:
    async with world.database.connect() as connection:
        return (
            await connection.execute(text(f"SELECT {name} FROM {of} ORDER BY created_at DESC LIMIT 1"))
        ).scalar_one()


FIELDS = {"region": "eu", "health": {"grpc": {"port": 1}}, "compute": {"pool": "big"}}
OBSERVED = """UPDATE tenants SET observed = observed || '{"digest": "sha256:1"}',
    conditions = conditions || '[{"type": "Billed", "status": "partly", "reason": "Late", "message": "",
                                  "since": "2026-01-01T12:00:00+00:00", "severity": 2}]'"""


async def rolled_back(world: World) -> Tenant:
    """A tenant that serves, and that a newer release has enriched: fields in all documents, and columns."""
    known = spec("1", probe={"unhealthy_threshold": 1, "interval_seconds": 0.5}).canonical()
    tenant = await world.create(TenantSpec.stored(overlay(known, FIELDS)))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
    for table in ("tenants", "executions"):
        await newer(world, f"ALTER TABLE {table} ADD COLUMN tier text NOT NULL DEFAULT 'standard'")
    await newer(world, OBSERVED)
    await newer(world, "UPDATE tenants SET tier = 'gold'")
    return tenant


def holds_new_fields(document: dict[str, Any]) -> bool:
    told = (document["region"], document["health"]["grpc"], document["compute"]["pool"])
    return told == ("eu", {"port": 1}, "big")


async def test_new_fields_are_shown_and_kept_across_patch_and_heal(world: World, api: Api) -> None:
    tenant = await rolled_back(world)
    shown = (await api.client.get("/v1/tenants/acme")).json()
    assert holds_new_fields(shown["spec"])
    assert {"type": "Billed", "status": "partly"}.items() <= shown["conditions"][-1].items()

    labelled = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}})
    assert (labelled.status_code, labelled.json()["generation"]) == (200, 1)
    patched = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"version": "2"}}}})
    assert (patched.status_code, patched.json().get("generation")) == (202, 2), patched.text
    assert holds_new_fields(await column(world, "spec"))
    assert holds_new_fields(await column(world, "spec", of="executions"))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 2)
        serving = await column(world, "serving_execution")
        for instance in world.cloud.instances():
            world.cloud.alter(instance.id, health=["unhealthy"])
        await world.until(
            tenant,
            lambda v: (
                v.tenant.status == Status.READY and v.tenant.serving_execution != serving and v.execution.run == 2
            ),
        )
        await world.settled(tenant, Status.READY, 2)
    assert holds_new_fields(await column(world, "spec", of="executions"))
    assert (await column(world, "observed"))["digest"] == "sha256:1"
    assert [one["severity"] for one in await column(world, "conditions") if one["type"] == "Billed"] == [2]
    assert await column(world, "tier") == "gold"
    assert [found.spec_hash for found in await resting(world.database)] == [
        instance.labels["landlord.spec-hash"] for instance in world.cloud.instances()
    ]


async def test_a_client_cannot_write_fields_that_this_release_does_not_know(world: World, api: Api) -> None:
    await rolled_back(world)
    for changed in ({"region": "us"}, {"zone": 1}, {"health": {"grpc": {"port": 2}}}, {"compute": {"pool": "small"}}):
        answer = await api.client.patch("/v1/tenants/acme", json={"spec": changed})
        assert answer.status_code == 400, changed
        (name,) = changed
        assert answer.json()["errors"][0]["loc"].startswith(f"spec.{name}")
    assert holds_new_fields(await column(world, "spec"))
    removed = await api.client.patch("/v1/tenants/acme", json={"spec": {"region": None}})
    assert removed.status_code == 202
    assert "region" not in await column(world, "spec")


async def test_a_word_in_the_spec_that_cannot_be_read_is_shown_and_left_alone(world: World, api: Api) -> None:
    tenant = await rolled_back(world)
    for table in ("tenants", "executions"):
        await newer(world, f"""UPDATE {table} SET spec = spec || '{{"heal": "replace"}}'""")
    assert (await api.client.get("/v1/tenants/acme")).json()["spec"]["heal"] == "replace"
    refused = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"version": "2"}}}})
    assert [error["loc"] for error in refused.json()["errors"]] == ["spec.heal"]
    labelled = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}})
    assert labelled.status_code == 200
    assert (await column(world, "spec"))["heal"] == "replace"
    async with world.owner(tenant) as owner:
        assert await owner.left() == "failing"
    view = await world.until(tenant, lambda v: v.tenant.departures == 1)
    told = {one.type: (one.status, one.reason) for one in view.tenant.conditions}
    assert told["Reconciled"] == ("false", "NewerRelease")
    assert view.tenant.status == Status.READY

    named = await api.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}})
    assert named.status_code == 202
    assert holds_new_fields(await column(world, "spec"))


async def test_a_foreign_status_is_shown_left_alone_and_can_be_deleted(world: World, api: Api) -> None:
    tenant = await rolled_back(world)
    await newer(world, "UPDATE tenants SET status = 'hibernating'")
    assert (await api.client.get("/v1/tenants/acme")).json()["status"] == "hibernating"
    assert [one["status"] for one in (await api.client.get("/v1/tenants")).json()["items"]] == ["hibernating"]
    refused = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"version": "2"}}}})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")
    assert "run the newer release" in refused.json()["detail"]
    async with world.owner(tenant) as owner:
        assert await owner.left() == "failing"
    assert await column(world, "status") == "hibernating"
    assert len(await world.instances()) == 1

    deleted = await api.client.delete("/v1/tenants/acme")
    assert (deleted.status_code, deleted.json()["status"]) == (202, "deleting")
    async with world.owner(tenant) as owner:
        assert await owner.left() == "deleted"
    assert await world.instances() == []


async def test_foreign_words_of_executions_and_steps_are_shown(world: World, api: Api) -> None:
    await rolled_back(world)
    await newer(
        world,
        "UPDATE executions SET state = 'parked', sub_state = 'asleep', action = 'migrate', "
        "trigger_source = 'schedule', stop_cause = 'moved'",
    )
    await newer(world, "UPDATE steps SET state = 'skipped', name = 'warm_up' WHERE name = 'plan'")
    id = (await api.client.get("/v1/tenants/acme")).json()["workflow_execution_id"]
    found = await api.client.get(f"/v1/executions/{id}")
    assert found.status_code == 200
    shown = found.json()
    assert [shown[name] for name in ("state", "sub_state", "action", "trigger_source")] == [
        "parked",
        "asleep",
        "migrate",
        "schedule",
    ]
    assert ("warm_up", "skipped") in [(step["name"], step["state"]) for step in shown["steps"]]
    listed = await api.client.get("/v1/tenants/acme/executions")
    assert [one["state"] for one in listed.json()["items"]] == ["parked"]


async def test_a_delete_needs_nothing_that_a_newer_release_wrote(world: World, api: Api) -> None:
    """The active execution is in a state that is not known here, by a spec that cannot be read."""
    tenant = await rolled_back(world)
    await world.patch(spec("2"))
    unreadable = json.dumps({"heal": "replace", "compute": {"provider": "fake", "config": [], "pool": "big"}})
    await newer(world, "UPDATE tenants SET spec = spec || CAST(:s AS jsonb)", s=unreadable)
    await newer(world, "UPDATE executions SET spec = spec || CAST(:s AS jsonb)", s=unreadable)
    await newer(world, "UPDATE executions SET state = 'parked' WHERE state = 'queued'")
    assert (await api.client.get("/v1/tenants/acme")).json()["spec"]["compute"]["config"] == []
    assert (await api.client.delete("/v1/tenants/acme")).status_code == 202
    async with world.owner(tenant) as owner:
        assert await owner.left() == "deleted"
    assert await world.instances() == []
    events = (await api.client.get("/v1/events")).json()["items"]
    assert "tenant.deletion_requested" in [event["type"] for event in events]
