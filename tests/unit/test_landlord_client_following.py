"""The client, blocking and async, waits for tenants and follows events and logs, also over a restart."""

import json
from typing import Any

import httpx
import pytest

from landlord_client import LogsNotSupported, Tenant, TenantNotFound, Unreachable, WaitedTooLong, tenants
from tests.unit.either_client import Make, answering, make, problem, tenant

__all__ = ["make"]  # fixture


def events_of(*lines: str) -> httpx.Response:
    return httpx.Response(200, text="".join(f"{line}\n\n" for line in lines))


def event(id: int, status: str = "ready", **more: Any) -> str:
    return f"id: {id}\ndata: " + json.dumps({"id": id, "type": "tenant.status", "status": status, **more})


async def test_waiting_goes_on_by_id_until_it_is_settled_and_survives_a_restart(make: Make) -> None:
    handle, seen = answering(
        httpx.Response(200, json=tenant("deleting", "running")),
        httpx.ConnectError("restarting"),
        httpx.Response(200, json=tenant("deleting", "failed")),
        httpx.Response(200, json=tenant("deleting", "failed")),
        httpx.Response(200, json=tenant("deleted", "succeeded")),
    )
    changes: list[str] = []

    def changed(now: Tenant) -> None:
        changes.append(f"{now.status} {now.workflow.state}")

    assert (await make(handle).call("wait_tenant", "acme", timeout=10, changed=changed)).status == "deleted"
    assert [request.url.path for request in seen] == ["/v1/tenants/acme"] + ["/v1/tenants/0190-id"] * 4
    assert changes == ["deleting running", "deleting failed", "deleted succeeded"]


async def test_ready_with_a_newer_execution_under_way_is_not_settled(make: Make) -> None:
    handle, seen = answering(
        httpx.Response(200, json=tenant("ready", "pending")), httpx.Response(200, json=tenant("ready", "succeeded"))
    )
    await make(handle).call("wait_tenant", "acme", timeout=10)
    assert len(seen) == 2


async def test_waiting_ends_in_time(make: Make) -> None:
    there = make(lambda _: httpx.Response(200, json=tenant("updating", "running")))
    with pytest.raises(WaitedTooLong, match="still updating after 3 s"):
        await there.call("wait_tenant", "acme", timeout=3)
    assert issubclass(WaitedTooLong, TimeoutError)


async def test_a_watch_begins_at_the_newest_event_and_goes_on_after_a_break_without_a_gap(make: Make) -> None:
    handle, seen = answering(
        httpx.Response(200, json={"items": [{"id": 7}], "next_cursor": None}),
        events_of(": heartbeat", event(8), event(9)),
        httpx.ConnectError("restarting"),
        httpx.Response(503, text="no server"),
        problem(503, "overloaded"),
        events_of(event(10, "deleted"), event(11, "deleted")),
    )
    assert [found.id for found in await make(handle).some("watch", "0190-id")] == [8, 9, 10, 11]
    assert [request.headers.get("Last-Event-ID") for request in seen] == [None, "7", "9", "9", "9", "9"]
    assert seen[1].url.path == "/v1/tenants/0190-id/watch"


async def test_a_watch_of_all_outlives_the_end_of_a_tenant(make: Make) -> None:
    handle, seen = answering(events_of(event(4, "deleted")), events_of(event(5)))
    assert [found.id for found in await make(handle).some("watch", after=3, most=2)] == [4, 5]
    assert [request.headers["Last-Event-ID"] for request in seen] == ["3", "4"]


async def test_logs_are_followed_over_a_restart_until_the_tenant_is_deleted(make: Make) -> None:
    handle, seen = answering(
        httpx.Response(200, json=tenant()),
        httpx.Response(200, text=""),
        httpx.Response(200, json=tenant("provisioning")),
        httpx.Response(200, text="one\n", headers={"Log-Cursor": "r/1"}),
        httpx.ConnectError("restarting"),
        problem(503, "unavailable"),
        httpx.Response(200, text="two\n", headers={"Log-Cursor": "r/2"}),
        httpx.Response(200, text="", headers={"Log-Cursor": "r/2"}),
        httpx.Response(200, json=tenant("deleted")),
    )
    assert await make(handle).some("follow_logs", "acme", tail=7) == ["one\n", "two\n"]
    asked = [dict(one.url.params) for one in seen if one.url.path == "/v1/tenants/0190-id/logs"]
    assert [one["after"] for one in asked] == ["", "", "r/1", "r/1", "r/1", "r/2"]
    assert {one["tail"] for one in asked} == {"7"}


async def test_logs_that_cannot_be_followed_are_refused_at_once(make: Make) -> None:
    handle, _ = answering(httpx.Response(200, json=tenant()), problem(422, "logs_not_supported"))
    with pytest.raises(LogsNotSupported):
        await make(handle).some("follow_logs", "acme")


async def test_who_follows_gives_up_when_no_server_comes_back(make: Make) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/acme"):
            return httpx.Response(200, json=tenant())
        raise httpx.ConnectError("refused")

    there = make(handle)
    with pytest.raises(Unreachable, match="landlord up"):
        await there.some("follow_logs", "acme")
    assert there.time.now > tenants.PATIENCE_SECONDS


async def test_a_watch_that_never_began_is_refused_at_once(make: Make) -> None:
    handle, _ = answering(problem(404, "tenant_not_found"))
    with pytest.raises(TenantNotFound):
        await make(handle).some("watch", "acme", after=1)
    handle, _ = answering(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match="landlord up"):
        await make(handle).some("watch", after=1)


async def test_a_watch_gives_up_when_no_server_comes_back(make: Make) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers["Last-Event-ID"] == "1":
            return events_of(event(2))
        raise httpx.ConnectError("refused")

    there = make(handle)
    with pytest.raises(Unreachable, match="landlord up"):
        await there.some("watch", after=1)
    assert there.time.now > tenants.PATIENCE_SECONDS


async def test_a_selective_watch_follows_labels(make: Make) -> None:
    """`a` matches from the beginning, `b` once it is relabelled, `c` never; then `a` ceases to."""
    matching = [{"a"}, {"a", "b"}, {"a", "b"}, {"b"}]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/events":
            return httpx.Response(200, json={"items": [{"id": 1}], "next_cursor": None})
        if request.url.path == "/v1/watch":
            changes = [
                event(2, tenant="c"),
                event(3, tenant="a"),
                f"data: {json.dumps({'id': 4, 'type': 'tenant.updated', 'tenant': 'b'})}",
                event(5, tenant="b"),
                f"data: {json.dumps({'id': 6, 'type': 'tenant.created', 'tenant': 'c'})}",
                f"data: {json.dumps({'id': 7, 'type': 'tenant.metadata_changed', 'tenant': 'a'})}",
                event(8, tenant="a"),
                event(9, tenant="b"),
            ]
            return events_of(*changes)
        prefix = request.url.params.get("name_prefix", "")
        found = [tenant(name=name) for name in sorted(matching.pop(0)) if name.startswith(prefix)]
        return httpx.Response(200, json={"items": found, "next_cursor": None})

    there = make(handle)
    assert [found.id for found in await there.some("watch_matching", ["tier=gold"], most=4)] == [3, 4, 5, 9]
