"""The client, blocking and async, against a server of plain functions: what it sends, and what it makes of answers."""

import json
import pickle
from typing import Any

import httpx
import pytest

from landlord_client import (
    AsyncClient,
    Client,
    Conflict,
    IdempotencyInProgress,
    InsecureAddress,
    LogsNotSupported,
    NewToken,
    NotFound,
    Overloaded,
    Problem,
    Tenant,
    TenantNotFound,
    Unreachable,
    ValidationFailed,
    VersionMismatch,
    errors,
)
from tests.unit.either_client import Make, answering, make, problem, tenant

__all__ = ["make"]  # fixture


async def test_a_mutation_carries_token_key_version_and_preference(make: Make) -> None:
    handle, seen = answering(httpx.Response(202, json=tenant()))
    patch = {"labels": {"a": None}}
    await make(handle).call("update_tenant", "acme", patch, if_match=7, wait=5, idempotency_key="k")
    (request,) = seen
    assert (request.method, request.url.path) == ("PATCH", "/v1/tenants/acme")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Idempotency-Key"] == "k"
    assert request.headers["If-Match"] == '"7"'
    assert request.headers["Prefer"] == "wait=5"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(request.content) == patch
    assert request.extensions["timeout"]["read"] == 35.0


async def test_names_are_quoted_in_paths(make: Make) -> None:
    handle, seen = answering(httpx.Response(200, json=tenant()))
    await make(handle).call("get_tenant", "../admin")
    assert seen[0].url.raw_path == b"/v1/tenants/..%2Fadmin"


async def test_an_answer_is_typed_and_kept_as_it_came(make: Make) -> None:
    sent = tenant(created_at="2026-12-01T09:00:00+00:00", observed={"endpoints": [{"name": "http", "url": "u"}]}, new=1)
    handle, _ = answering(httpx.Response(200, json=sent))
    found = await make(handle).call("get_tenant", "acme")
    assert isinstance(found, Tenant)
    assert found.created_at is not None
    assert found.created_at.year == 2026
    assert found.observed.endpoints[0].url == "u"
    assert found.settled
    assert found.document == sent
    assert found.labels == {}


async def test_a_problem_is_raised_as_its_own_class_with_its_fields(make: Make) -> None:
    document = {"title": "T", "detail": "bad", "code": "validation_failed", "request_id": "r"}
    wrong = [{"loc": "x", "message": "m"}]
    handle, _ = answering(httpx.Response(400, json={**document, "errors": wrong}, headers={"Retry-After": "2"}))
    with pytest.raises(ValidationFailed, match="bad") as caught:
        await make(handle).call("create_tenant", {})
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.code, error.status, error.detail) == ("validation_failed", 400, "bad")
        assert (error.request_id, error.errors, error.retry_after) == ("r", wrong, 2.0)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "tenant_not_found", TenantNotFound),
        (404, "star_not_found", NotFound),
        (409, "star_taken", Conflict),
        (412, "version_mismatch", VersionMismatch),
        (418, "teapot", Problem),
    ],
)
async def test_an_unknown_code_is_the_class_of_its_status(
    make: Make, status: int, code: str, kind: type[Problem]
) -> None:
    handle, _ = answering(problem(status, code))
    with pytest.raises(Problem) as caught:
        await make(handle).call("get_tenant", "acme")
    assert type(caught.value) is kind
    assert caught.value.code == code


async def test_a_connection_that_breaks_is_tried_again_with_the_same_key(make: Make) -> None:
    broken = httpx.RemoteProtocolError("gone")
    handle, seen = answering(broken, httpx.ReadTimeout("slow"), httpx.Response(202, json=tenant()))
    assert (await make(handle).call("create_tenant", {"name": "acme"})).name == "acme"
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len(seen) == 3


async def test_after_a_broken_connection_the_first_try_is_waited_for(make: Make) -> None:
    handle, _ = answering(
        httpx.ReadError("gone"), problem(409, "idempotency_in_progress"), httpx.Response(202, json=tenant())
    )
    assert (await make(handle).call("create_tenant", {"name": "acme"})).name == "acme"


async def test_somebody_elses_use_of_the_key_is_refused_at_once(make: Make) -> None:
    handle, seen = answering(problem(409, "idempotency_in_progress"))
    with pytest.raises(IdempotencyInProgress):
        await make(handle).call("create_tenant", {"name": "acme"}, idempotency_key="k")
    assert len(seen) == 1


async def test_a_server_without_time_is_asked_again_when_it_said(make: Make) -> None:
    busy = problem(503, "overloaded", **{"Retry-After": "7"})
    handle, seen = answering(busy, httpx.Response(202, json=tenant()))
    there = make(handle)
    assert (await there.call("create_tenant", {"name": "acme"})).name == "acme"
    assert there.time.slept == [7.0]
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1


async def test_a_server_that_asks_for_a_long_pause_is_not_waited_for(make: Make) -> None:
    handle, seen = answering(problem(503, "overloaded", **{"Retry-After": "600"}))
    with pytest.raises(Overloaded) as caught:
        await make(handle).call("get_tenant", "acme")
    assert (len(seen), caught.value.retry_after) == (1, 600.0)


async def test_an_engine_that_refuses_is_told_at_once(make: Make) -> None:
    handle, seen = answering(problem(503, "workflow_trigger_failed", **{"Retry-After": "1"}))
    with pytest.raises(errors.WorkflowTriggerFailed):
        await make(handle).call("create_tenant", {"name": "acme"})
    assert len(seen) == 1


async def test_nobody_there_says_what_to_do(make: Make) -> None:
    handle, seen = answering(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match="landlord up"):
        await make(handle).call("get_tenant", "acme")
    assert len(seen) == 1


async def test_a_proxy_without_an_application_is_nobody_there(make: Make) -> None:
    handle, _ = answering(httpx.Response(500, text="Internal Server Error"))
    with pytest.raises(Unreachable, match="500"):
        await make(handle).call("get_tenant", "acme")


async def test_an_answer_of_another_kind_is_nobody_there(make: Make) -> None:
    handle, _ = answering(httpx.Response(200, json={"hello": "world"}))
    with pytest.raises(Unreachable, match="not as a control plane"):
        await make(handle).call("get_tenant", "acme")


async def test_pages_are_followed_when_they_are_needed_and_empty_filters_left_out(make: Make) -> None:
    handle, seen = answering(
        httpx.Response(200, json={"items": [tenant(name="a")], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [tenant(name="b")], "next_cursor": None}),
    )
    there = make(handle)
    found = await there.some("iterate_tenants", status=["ready", "failed"], labels={"k": "v"}, selector="x!=y")
    assert [one.name for one in found] == ["a", "b"]
    assert seen[0].url.params.multi_items() == [
        ("status", "ready"),
        ("status", "failed"),
        ("label", "k=v"),
        ("label", "x!=y"),
        ("limit", "500"),
    ]
    assert seen[1].url.params["cursor"] == "c"


async def test_a_page_that_nobody_needs_is_not_fetched(make: Make) -> None:
    handle, seen = answering(httpx.Response(200, json={"items": [tenant(), tenant()], "next_cursor": "c"}))
    assert len(await make(handle).some("iterate_tenants", most=2)) == 2
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("operation", "item"),
    [
        ("iterate_executions", {"id": "e"}),
        ("iterate_events", {"id": 1}),
        ("iterate_tokens", {"name": "ci", "role": "viewer"}),
    ],
)
async def test_each_list_is_followed(make: Make, operation: str, item: dict[str, Any]) -> None:
    handle, seen = answering(
        httpx.Response(200, json={"items": [item], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [item], "next_cursor": None}),
    )
    arguments = ["acme"] if operation == "iterate_executions" else []
    assert len(await make(handle).some(operation, *arguments)) == 2
    assert seen[1].url.params["cursor"] == "c"


async def test_a_plan_is_a_dry_run(make: Make) -> None:
    handle, seen = answering(httpx.Response(200, json={"action": "none"}), httpx.Response(200, json={"action": "none"}))
    there = make(handle)
    await there.call("plan_create", {"name": "acme"})
    await there.call("plan_update", "acme", {"labels": {}})
    sent = [(request.method, request.url.params["dry_run"]) for request in seen]
    assert sent == [("POST", "true"), ("PATCH", "true")]


async def test_logs_are_text_and_their_refusal_is_a_problem(make: Make) -> None:
    handle, seen = answering(httpx.Response(200, text="one\ntwo\n"), problem(422, "logs_not_supported"))
    there = make(handle)
    assert await there.call("tenant_logs", "acme", tail=2) == "one\ntwo\n"
    with pytest.raises(LogsNotSupported):
        await there.call("tenant_logs", "acme")
    assert seen[0].url.params["tail"] == "2"


async def test_a_token_is_never_asked_for_twice(make: Make) -> None:
    handle, seen = answering(httpx.ReadError("gone"))
    with pytest.raises(Unreachable):
        await make(handle).call("create_token", "ci", "viewer")
    assert len(seen) == 1


def test_a_secret_is_not_in_what_a_log_would_show() -> None:
    from_server = {"name": "ci", "role": "viewer", "token": "the-secret"}
    made = NewToken.model_validate(from_server)
    assert made.token == "the-secret"
    assert "the-secret" not in repr(made)


async def test_a_pause_is_of_a_provider_or_of_all(make: Make) -> None:
    none = {"all": False, "providers": []}
    handle, seen = answering(httpx.Response(200, json=none), httpx.Response(200, json=none))
    there = make(handle)
    await there.call("pause", "docker")
    await there.call("resume", None)
    assert [(request.url.path, json.loads(request.content)) for request in seen] == [
        ("/v1/admin/pause", {"provider": "docker"}),
        ("/v1/admin/resume", {"all": True}),
    ]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:8000/", "http://localhost", "https://landlord.test"]
)
def test_a_token_is_sent_to_this_machine_and_by_https(kind: type[Client], url: str) -> None:
    assert kind(url, "secret").url == url.rstrip("/")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.5:8000", "http://landlord.test", "http://localhost.evil.test", "landlord:8000", "http://0.0.0.0"],
)
def test_a_token_crosses_no_network_in_clear(kind: type[Client], url: str) -> None:
    with pytest.raises(InsecureAddress, match="would go there in clear"):
        kind(url, "secret")
