"""Tenants over HTTP with a real database: what is stored, what is answered, who is woken."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.api import mutations
from controlplane.model import ExecutionState, Status
from controlplane.ports import Wake
from tests.integration.api_replica import Api, api_on, served, tenant


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api, served(api) as api.client:
        yield api


async def test_create_stores_wakes_and_answers_the_tenant(api: Api) -> None:
    answer = await api.create(labels={"tier": "gold"})

    body = answer.json()
    id8 = UUID(body["id"]).hex[-8:]
    assert answer.status_code == 202, body
    assert answer.headers["location"] == "/v1/tenants/acme"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["cache-control"] == "no-store"
    assert body["workflow_execution_id"] == f"tenant-acme-provision-1-{id8}"
    assert body["workflow"] == {
        "provider": "embedded",
        "state": "pending",
        "sub_state": None,
        "retry_count": 0,
        "error": None,
        "next_attempt_at": None,
        "trigger_source": "api",
    }
    assert (body["status"], body["generation"], body["observed_generation"], body["version"]) == ("requested", 1, 0, 1)
    assert body["observed"] == {
        "endpoints": [],
        "resources": {},
        "healthy": None,
        "checked_at": None,
        "node": None,
        "effective_interval_seconds": 30,
    }
    [woken] = api.directory.woken
    assert (woken.name, str(woken.tenant_id), woken.execution_id) == ("acme", body["id"], body["workflow_execution_id"])
    assert woken.timeout == 2.0
    assert await api.count("tenants") == await api.count("executions") == await api.count("events") == 1
    read = await api.client.get("/v1/tenants/acme")
    assert (read.status_code, read.json()) == (200, body)
    assert (await api.client.get(f"/v1/tenants/{body['id']}")).json() == body


async def test_an_actor_that_does_not_answer_in_time_is_still_202(api: Api) -> None:
    api.directory.outcome = Wake("pending")
    assert (await api.create()).status_code == 202


async def test_a_wake_up_that_fails_is_still_202(api: Api) -> None:
    async def explode(_: object) -> None:
        raise RuntimeError("the actor is no more")

    api.directory.before_answer = explode
    assert (await api.create()).status_code == 202


async def test_no_answer_waits_for_an_engine_that_refuses_nothing(database_url: str) -> None:
    async with api_on(database_url, in_owner=["embedded"]) as api:
        asked = asyncio.Event()

        async def never(_: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        api.directory.before_answer = never
        async with asyncio.timeout(60):
            assert (await api.create()).status_code == 202
            await asked.wait()  # and yet its owner is woken
        api.directory.before_answer, api.directory.outcome = None, Wake("refused", "it is down")
        spec = {**tenant()["spec"], "workflow": {"provider": "restate"}}
        assert (await api.create("other", spec=spec)).status_code == 503


async def test_the_answer_goes_before_the_wake_up(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "ANSWER_FIRST_SECONDS", 0.5)
    async with api_on(database_url, in_owner=["embedded"]) as api:
        assert (await api.create()).status_code == 202
        assert api.directory.woken == []
        await api.woken()


async def test_a_refused_trigger_is_503_and_the_tenant_is_kept(api: Api) -> None:
    api.directory.outcome = Wake("refused", "restate at 127.0.0.1:9 refuses connections")

    answer = await api.create()

    problem = answer.json()
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["location"] == "/v1/tenants/acme"
    assert int(answer.headers["retry-after"]) > 0
    assert problem["code"] == "workflow_trigger_failed"
    assert "127.0.0.1:9" in problem["detail"]
    assert problem["tenant"]["workflow"]["state"] == "pending"
    kept = (await api.client.get("/v1/tenants/acme")).json()
    assert kept["workflow_execution_id"] == problem["workflow_execution_id"]


async def test_thirty_at_once_for_one_name_make_one(api: Api) -> None:
    answers = await asyncio.gather(*(api.create() for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 29
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"tenant_exists"}
    assert await api.count("tenants") == await api.count("executions") == 1


async def test_a_name_is_free_again_after_its_tenant_was_deleted(api: Api) -> None:
    first = (await api.create()).json()
    await api.client.delete("/v1/tenants/acme")
    assert (await api.create()).json()["code"] == "tenant_exists"
    await api.end("acme", status=Status.DELETED)

    gone = await api.client.get("/v1/tenants/acme")
    by_id = await api.client.get(f"/v1/tenants/{first['id']}")
    executions = await api.client.get(f"/v1/tenants/{first['id']}/executions")

    assert (gone.status_code, gone.json()["code"]) == (410, "tenant_deleted")
    assert (by_id.status_code, by_id.json()["status"]) == (200, "deleted")
    assert [item["action"] for item in executions.json()["items"]] == ["delete", "provision"]
    for method in ("PATCH", "DELETE"):
        answer = await api.client.request(method, "/v1/tenants/acme", json={})
        assert (answer.status_code, answer.json()["code"]) == (410, "tenant_deleted")
    again = await api.create()
    assert again.status_code == 202
    assert again.json()["id"] != first["id"]
    assert (await api.client.get("/v1/tenants/acme")).json()["id"] == again.json()["id"]


async def test_patch_of_the_spec_is_a_new_generation(api: Api) -> None:
    await api.create()
    await api.end("acme")
    api.directory.woken.clear()

    answer = await api.client.patch(
        "/v1/tenants/acme",
        json={"spec": {"compute": {"config": {"env": {"COLOR": "green", "SIZE": "9"}}}}},
        headers={"Content-Type": "application/merge-patch+json"},
    )

    body = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (202, '"2"')
    assert body["spec"]["compute"]["config"] == {"image": "web:1", "env": {"COLOR": "green", "SIZE": "9"}}
    assert (body["generation"], body["observed_generation"], body["status"]) == (2, 1, "updating")
    assert body["workflow_execution_id"].startswith("tenant-acme-update-2-")
    assert [woken.execution_id for woken in api.directory.woken] == [body["workflow_execution_id"]]


async def test_a_patch_during_work_does_not_wait_for_its_own_start(api: Api) -> None:
    await api.create()
    api.directory.woken.clear()
    body = (await api.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}})).json()
    assert (body["generation"], body["status"]) == (2, "requested")
    await api.woken()
    assert [woken.execution_id for woken in api.directory.woken] == [None]


async def test_a_patch_that_changes_no_spec_is_200(api: Api) -> None:
    await api.create(labels={"tier": "gold", "old": "1"})
    api.directory.woken.clear()

    same = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"image": "web:1"}}}})
    labels = await api.client.patch("/v1/tenants/acme", json={"labels": {"tier": "silver", "old": None}})

    assert (same.status_code, same.json()["version"], same.json()["generation"]) == (200, 1, 1)
    assert (labels.status_code, labels.json()["version"], labels.json()["generation"]) == (200, 2, 1)
    assert labels.json()["labels"] == {"tier": "silver"}
    assert await api.count("executions") == 1
    assert api.directory.woken == []


async def test_another_provider_by_merge_patch(api: Api) -> None:
    await api.create()
    patch = {"spec": {"compute": {"provider": "process", "config": {"command": ["serve"]}}}}

    refused = await api.client.patch("/v1/tenants/acme", json=patch)

    assert refused.status_code == 400
    assert "image" in refused.json()["detail"]
    assert refused.json()["errors"] == [{"loc": "spec.compute.config.image", "message": "set it to null"}]
    patch["spec"]["compute"]["config"] |= {"image": None}
    accepted = await api.client.patch("/v1/tenants/acme", json=patch)
    assert accepted.status_code == 202
    assert accepted.json()["spec"]["compute"]["provider"] == "process"


async def test_if_match(api: Api) -> None:
    await api.create()
    patch = {"labels": {"a": "b"}}
    stale = await api.client.patch("/v1/tenants/acme", json=patch, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"], stale.headers["etag"]) == (412, "version_mismatch", '"1"')
    weak = await api.client.delete("/v1/tenants/acme", headers={"If-Match": 'W/"1"'})
    assert weak.status_code == 412
    good = await api.client.patch("/v1/tenants/acme", json=patch, headers={"If-Match": '"9", "1"'})
    assert good.status_code == 200
    assert (await api.client.delete("/v1/tenants/acme", headers={"If-Match": "*"})).status_code == 202


async def test_among_concurrent_patches_one_wins_a_version(api: Api) -> None:
    await api.create()
    answers = await asyncio.gather(
        *(
            api.client.patch("/v1/tenants/acme", json={"labels": {"n": str(n)}}, headers={"If-Match": '"1"'})
            for n in range(20)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19


async def test_delete_again_answers_the_newest_delete_run(api: Api) -> None:
    await api.create()
    await api.end("acme")
    first = await api.client.delete("/v1/tenants/acme")
    second = await api.client.delete("/v1/tenants/acme")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["workflow_execution_id"].startswith("tenant-acme-delete-2-")
    assert second.json()["workflow_execution_id"] == first.json()["workflow_execution_id"]
    assert second.json()["status"] == "deleting"
    for call in (
        api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}),
        api.client.post("/v1/tenants/acme/retry"),
        api.client.post(f"/v1/executions/{first.json()['workflow_execution_id']}/cancel"),
    ):
        answer = await call
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


async def test_delete_by_force_is_for_admins_and_closes_the_row(api: Api) -> None:
    created = (await api.create()).json()
    operator = await api.bearer("operator")
    assert (await api.client.delete("/v1/tenants/acme?force=true", headers=operator)).status_code == 403
    forced = await api.client.delete("/v1/tenants/acme?force=true")
    assert (forced.status_code, forced.json()["status"]) == (202, "deleted")
    assert (await api.client.get("/v1/tenants/acme")).status_code == 410
    assert (await api.client.get(f"/v1/tenants/{created['id']}")).json()["workflow"]["state"] == "cancelled"


async def test_retry_and_cancel(api: Api) -> None:
    created = (await api.create()).json()
    execution = created["workflow_execution_id"]
    assert (await api.client.post("/v1/tenants/acme/retry")).status_code == 409

    cancelled = await api.client.post(f"/v1/executions/{execution}/cancel")

    assert (cancelled.status_code, cancelled.json()["workflow_execution_id"]) == (202, execution)
    assert (await api.client.get(f"/v1/executions/{execution}")).json()["cancel_requested_at"] is not None
    await api.end("acme", ExecutionState.CANCELLED)
    assert (await api.client.post(f"/v1/executions/{execution}/cancel")).status_code == 409
    api.directory.woken.clear()
    retried = await api.client.post("/v1/tenants/acme/retry")
    assert retried.status_code == 202
    assert retried.json()["workflow_execution_id"] == f"{execution}-r2"
    assert [woken.execution_id for woken in api.directory.woken] == [f"{execution}-r2"]


async def test_reconcile_wakes_the_actor(api: Api) -> None:
    await api.create()
    api.directory.woken.clear()
    answer = await api.client.post("/v1/tenants/acme/reconcile")
    assert answer.status_code == 202
    await api.woken()
    assert [(woken.name, woken.execution_id) for woken in api.directory.woken] == [("acme", None)]


async def test_what_is_not_there(api: Api) -> None:
    for path in ("/v1/tenants/none", f"/v1/tenants/{uuid4()}", "/v1/tenants/NO%00!", "/v1/tenants/none/executions"):
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found"), path
    for path in ("/v1/executions/none", "/v1/executions/%00"):
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "execution_not_found"), path
    assert (await api.client.delete("/v1/tenants/none")).json()["code"] == "tenant_not_found"


async def test_pages_and_filters(api: Api) -> None:
    for number in range(7):
        await api.create(f"t-{number}", labels={"parity": str(number % 2), "n": str(number)})
    await api.end("t-3")

    async def names(query: str) -> list[str]:
        body = (await api.client.get(f"/v1/tenants?{query}")).json()
        return [item["name"] for item in body["items"]]

    pages, cursor = [], ""
    while True:
        body = (await api.client.get(f"/v1/tenants?limit=3{cursor}")).json()
        pages.append([item["name"] for item in body["items"]])
        await api.create(f"a-{len(pages)}")
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert pages == [["t-0", "t-1", "t-2"], ["t-3", "t-4", "t-5"], ["t-6"]]
    assert await names("label=parity%3D1&name_prefix=t-") == ["t-1", "t-3", "t-5"]
    assert await names("label=parity%3D1&label=n%3D5") == ["t-5"]
    assert await names("label=parity%3D1&label=parity%3D0") == []
    assert await names("label=parity%3D0&label=parity%3D0") == ["t-0", "t-2", "t-4", "t-6"]
    assert await names("status=ready") == ["t-3"]
    assert await names("status=ready&status=requested&name_prefix=t-&lagging=true&limit=2") == ["t-0", "t-1"]
    history = (await api.client.get("/v1/tenants/t-3/executions?limit=1")).json()
    assert len(history["items"]) == 1
    assert history["next_cursor"] is None


async def test_dry_run_answers_the_plan_and_stores_nothing(api: Api) -> None:
    planned = await api.client.post("/v1/tenants?dry_run=true", json=tenant())
    assert planned.status_code == 200
    assert planned.json()["action"] == "provision"
    assert {"path": "spec.compute.config.image", "before": None, "after": "web:1"} in planned.json()["changes"]
    assert await api.count("tenants") == 0
    await api.create()
    await api.end("acme")
    patch = {"spec": {"compute": {"config": {"image": "web:2"}}}, "labels": {"tier": "gold"}}
    update = (await api.client.patch("/v1/tenants/acme?dry_run=true", json=patch)).json()
    assert (update["action"], update["generation"]) == ("update", 2)
    assert update["changes"] == [
        {"path": "labels.tier", "before": None, "after": "gold"},
        {"path": "spec.compute.config.image", "before": "web:1", "after": "web:2"},
    ]
    nothing = (await api.client.patch("/v1/tenants/acme?dry_run=true", json={})).json()
    assert (nothing["action"], nothing["changes"]) == ("none", [])
    assert (await api.client.delete("/v1/tenants/acme?dry_run=true")).json()["action"] == "delete"
    assert (await api.client.get("/v1/tenants/acme")).json()["version"] == 1
    assert await api.count("executions") == 1
    assert len(api.directory.woken) == 1


async def test_how_often_health_is_looked_at(api: Api) -> None:
    """At rest no more often than the setting, by an actor that lives as often as it asks, deleted never."""

    async def shown(reference: str) -> float | None:
        found: float | None = (await api.client.get(f"/v1/tenants/{reference}")).json()["observed"][
            "effective_interval_seconds"
        ]
        return found

    created = (await api.create("often")).json()
    assert created["observed"]["effective_interval_seconds"] == await shown("often") == 30
    await api.client.post("/v1/tenants", json=tenant("seldom", spec=seldom()))
    assert await shown("seldom") == 90
    for expiry, often in (("1 minute", 10), ("-1 minute", 30)):
        async with api.database.begin() as connection:
            expires = f"lease_owner = 'c/a', lease_expires_at = clock_timestamp() + interval '{expiry}'"
            await connection.execute(text(f"UPDATE tenants SET {expires}"))
        assert (await shown("often"), await shown("seldom")) == (often, 90)
    await api.client.delete("/v1/tenants/often")
    await api.end("often", status=Status.DELETED)
    assert await shown(created["id"]) is None


def seldom() -> dict[str, object]:
    return {**tenant()["spec"], "health": {"interval_seconds": 90}}


async def test_a_redeploy_is_the_next_run_of_the_same_generation(api: Api) -> None:
    created = (await api.create()).json()
    execution = created["workflow_execution_id"]
    await api.end("acme")
    api.directory.woken.clear()

    answer = await api.client.post("/v1/tenants/acme/redeploy")

    body = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (202, '"1"'), body
    assert body["workflow_execution_id"] == f"{execution.replace('provision', 'update')}-r2"
    assert (body["status"], body["generation"], body["observed_generation"]) == ("updating", 1, 1)
    assert [woken.execution_id for woken in api.directory.woken] == [body["workflow_execution_id"]]
    again = (await api.client.post("/v1/tenants/acme/redeploy")).json()
    assert again["workflow_execution_id"].endswith("-r3")
    overtaken = (await api.client.get(f"/v1/executions/{body['workflow_execution_id']}")).json()
    assert (overtaken["state"], overtaken["superseded_by"]) == ("superseded", again["workflow_execution_id"])
    events = (await api.client.get("/v1/tenants/acme/events")).json()["items"]
    assert [event["type"] for event in events].count("tenant.redeployed") == 2
    await api.client.delete("/v1/tenants/acme")
    assert (await api.client.post("/v1/tenants/acme/redeploy")).status_code == 409


async def test_a_restart_is_a_run_of_what_serves(api: Api) -> None:
    created = (await api.create()).json()
    await api.end("acme")
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE tenants SET serving_execution = current_execution"))
    key = {"Idempotency-Key": "once"}
    answer = await api.client.post("/v1/tenants/acme/restart", headers=key)
    body = answer.json()
    assert answer.status_code == 202, body
    assert body["workflow_execution_id"] == f"{created['workflow_execution_id'].replace('provision', 'update')}-r2"
    assert (body["status"], body["generation"], body["version"]) == ("updating", 1, 1)
    replayed = await api.client.post("/v1/tenants/acme/restart", headers=key)
    assert (replayed.status_code, replayed.headers["idempotency-replayed"], replayed.json()) == (202, "true", body)
    again = await api.client.post("/v1/tenants/acme/restart")
    assert (again.status_code, again.json()["workflow_execution_id"]) == (202, body["workflow_execution_id"])
    events = (await api.client.get("/v1/tenants/acme/events")).json()["items"]
    assert [event["type"] for event in events].count("tenant.restarted") == 1
    await api.client.delete("/v1/tenants/acme")
    refused = await api.client.post("/v1/tenants/acme/restart")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")


async def test_a_plan_of_a_redeploy_stores_nothing(api: Api) -> None:
    await api.create()
    await api.end("acme")
    planned = await api.client.post("/v1/tenants/acme/redeploy?dry_run=true")
    assert planned.status_code == 200
    assert (await api.client.get("/v1/tenants/acme")).json()["status"] == "ready"
