"""The client, blocking and async, against a server of plain functions: what it sends, and what it makes of answers."""

import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from controlplane.api.problem import CODES
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
    WaitedTooLong,
    errors,
    history,
    installation,
    models,
    tenants,
)
from landlord_client import exchange as exchange_of_operations
from tests.pages import ROOT
from tests.unit.either_client import Either, Handler, answering

Make = Callable[[Handler], Either]


@pytest.fixture(params=[Client, AsyncClient])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda handler: Either(request.param, handler)


def tenant(status: str = "ready", state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "0190-id", "name": "acme", "status": status, "workflow": {"state": state}, "version": 3, **more}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"}, headers=headers)


def events_of(*lines: str) -> httpx.Response:
    return httpx.Response(200, text="".join(f"{line}\n\n" for line in lines))


def event(id: int, status: str = "ready", **more: Any) -> str:
    return f"id: {id}\ndata: " + json.dumps({"id": id, "type": "tenant.status", "status": status, **more})


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


def test_each_problem_code_has_its_class_of_its_status() -> None:
    assert set(errors.BY_CODE) == set(CODES), "each code has a class in landlord_client/errors.py"
    for code, kind in errors.BY_CODE.items():
        status = CODES[code][0]
        assert issubclass(kind, errors.BY_STATUS.get(status, Problem)), code
    assert len(set(errors.BY_CODE.values())) == len(errors.BY_CODE)


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


def test_each_operation_is_a_method_of_both_clients_with_its_text_and_signature() -> None:
    skipped = set(vars(exchange_of_operations))
    operations = {
        name: operation
        for module in (tenants, history, installation)
        for name, operation in vars(module).items()
        if inspect.isfunction(operation) and not name.startswith("_") and name not in skipped
    }
    for kind in (Client, AsyncClient):
        methods = {name: one for name, one in vars(kind).items() if hasattr(one, "__signature__")}
        assert set(methods) == set(operations)
        for name, operation in operations.items():
            assert methods[name].__doc__ == operation.__doc__
            assert methods[name].__name__ == name
            own = list(inspect.signature(methods[name]).parameters)
            assert own == ["self", *inspect.signature(operation).parameters]
    assert list(inspect.signature(Client("https://x.test", "t").get_tenant).parameters) == ["name"]


def test_each_model_has_the_fields_of_the_document() -> None:
    """Of those that answers have; what the client only sends are plain mappings."""
    schemas = json.loads((ROOT / "docs" / "openapi.json").read_text())["components"]["schemas"]
    names = {
        "ChangeOut": "Change",
        "CommandOut": "CommandEnd",
        "ComputeProviderOut": "ComputeProvider",
        "ConditionOut": "Condition",
        "ConsistencyOut": "Consistency",
        "DifferenceOut": "Difference",
        "EndpointOut": "Endpoint",
        "EventOut": "Event",
        "ExecutionOut": "Execution",
        "HeadOut": "TrailHead",
        "NodeDrainOut": "NodeDrain",
        "NodeOut": "Node",
        "NodePlatformOut": "NodePlatform",
        "NodesOut": "Nodes",
        "NoteOut": "Note",
        "ObservedOut": "Observed",
        "Pauses": "Pauses",
        "PlanOut": "Plan",
        "ProvidersOut": "Providers",
        "StepOut": "Step",
        "TenantOut": "Tenant",
        "TokenCreated": "NewToken",
        "TokenOut": "Token",
        "TrailOut": "Trail",
        "WatchEvent": "WatchEvent",
        "WorkflowOut": "Workflow",
        "WorkflowProviderOut": "WorkflowProvider",
    }
    for schema, name in names.items():
        assert set(schemas[schema]["properties"]) == set(getattr(models, name).model_fields), name
    # `alive`, readiness and lists aside, no answer is without its model.
    asides = {
        "Alive",
        "CheckOut",
        "Readiness",
        "EventPage",
        "ExecutionPage",
        "ExecutionSummary",
        "TenantPage",
        "TokenPage",
    }
    answers = {name for name in schemas if name.endswith(("Out", "Page", "Summary", "Created", "Event", "Pauses"))}
    assert answers - asides == set(names)
