"""The client against a server of plain functions: what it sends, and what it makes of answers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from controlplane.client import Client, TenantDocument, Unreachable
from controlplane.errors import DeadlineExceeded, Refused, SettingsError
from controlplane.settings import Settings

Handler = Callable[[httpx.Request], httpx.Response]


def tenant(status: str = "ready", state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "0190-id", "name": "acme", "status": status, "workflow": {"state": state}, "version": 3, **more}


class FakeTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(handler: Handler) -> Client:
    time = FakeTime()
    transport = httpx.MockTransport(handler)
    return Client("https://landlord.test/", "secret", transport=transport, sleep=time.sleep, clock=time.clock)


def answering(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A handler that gives one answer after another, and the requests that it saw."""
    left: Iterator[httpx.Response | Exception] = iter(answers)
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle, seen


def test_a_mutation_carries_token_key_version_and_preference() -> None:
    handle, seen = answering(httpx.Response(202, json=tenant()))
    client(handle).update_tenant("acme", {"labels": {"a": None}}, if_match=7, wait=5, idempotency_key="k")
    (request,) = seen
    assert (request.method, request.url.path) == ("PATCH", "/v1/tenants/acme")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Idempotency-Key"] == "k"
    assert request.headers["If-Match"] == '"7"'
    assert request.headers["Prefer"] == "wait=5"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(request.content) == {"labels": {"a": None}}


def test_names_are_quoted_in_paths() -> None:
    handle, seen = answering(httpx.Response(200, json=tenant()))
    client(handle).get_tenant("../admin")
    assert seen[0].url.raw_path == b"/v1/tenants/..%2Fadmin"


def test_a_problem_is_raised_with_its_fields() -> None:
    problem = {"title": "T", "detail": "bad", "code": "validation_failed", "request_id": "r", "errors": [{"loc": "x"}]}
    handle, _ = answering(httpx.Response(400, json=problem, headers={"Retry-After": "2"}))
    with pytest.raises(Refused, match="bad") as caught:
        client(handle).create_tenant({})
    assert (caught.value.code, caught.value.status) == ("validation_failed", 400)
    assert caught.value.fields["request_id"] == "r"
    assert caught.value.fields["errors"] == [{"loc": "x"}]
    assert caught.value.fields["retry_after"] == "2"


def test_a_connection_that_breaks_is_tried_again_with_the_same_key() -> None:
    broken = httpx.RemoteProtocolError("gone")
    handle, seen = answering(broken, httpx.ReadTimeout("slow"), httpx.Response(202, json=tenant()))
    assert client(handle).create_tenant({"name": "acme"})["name"] == "acme"
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len(seen) == 3


def test_after_a_broken_connection_the_first_try_is_waited_for() -> None:
    busy = httpx.Response(409, json={"code": "idempotency_in_progress"})
    handle, _ = answering(httpx.ReadError("gone"), busy, httpx.Response(202, json=tenant()))
    assert client(handle).create_tenant({"name": "acme"})["name"] == "acme"


def test_somebody_elses_use_of_the_key_is_refused_at_once() -> None:
    handle, seen = answering(httpx.Response(409, json={"code": "idempotency_in_progress"}))
    with pytest.raises(Refused):
        client(handle).create_tenant({"name": "acme"}, idempotency_key="k")
    assert len(seen) == 1


def test_nobody_there_says_what_to_do() -> None:
    handle, seen = answering(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match="landlord up"):
        client(handle).get_tenant("acme")
    assert len(seen) == 1


def test_a_proxy_without_an_application_is_nobody_there() -> None:
    handle, _ = answering(httpx.Response(500, text="Internal Server Error"))
    with pytest.raises(Unreachable, match="500"):
        client(handle).get_tenant("acme")


def test_pages_are_followed_and_empty_filters_left_out() -> None:
    handle, seen = answering(
        httpx.Response(200, json={"items": [tenant(name="a")], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [tenant(name="b")], "next_cursor": None}),
    )
    found = client(handle).iterate_tenants(status=["ready", "failed"], labels={"k": "v"})
    assert [one["name"] for one in found] == ["a", "b"]
    assert seen[0].url.params.multi_items() == [
        ("status", "ready"),
        ("status", "failed"),
        ("label", "k=v"),
        ("limit", "500"),
    ]
    assert seen[1].url.params["cursor"] == "c"


def test_waiting_goes_on_by_id_until_it_is_settled_and_survives_a_restart() -> None:
    handle, seen = answering(
        httpx.Response(200, json=tenant("deleting", "running")),
        httpx.ConnectError("restarting"),
        httpx.Response(200, json=tenant("deleting", "failed")),
        httpx.Response(200, json=tenant("deleting", "failed")),
        httpx.Response(200, json=tenant("deleted", "succeeded")),
    )
    changes: list[str] = []

    def changed(now: TenantDocument) -> None:
        changes.append(f"{now['status']} {now['workflow']['state']}")

    assert client(handle).wait_tenant("acme", timeout=10, changed=changed)["status"] == "deleted"
    assert [request.url.path for request in seen] == ["/v1/tenants/acme"] + ["/v1/tenants/0190-id"] * 4
    assert changes == ["deleting running", "deleting failed", "deleted succeeded"]


def test_ready_with_a_newer_execution_under_way_is_not_settled() -> None:
    handle, seen = answering(
        httpx.Response(200, json=tenant("ready", "pending")), httpx.Response(200, json=tenant("ready", "succeeded"))
    )
    client(handle).wait_tenant("acme", timeout=10)
    assert len(seen) == 2


def test_waiting_ends_in_time() -> None:
    with pytest.raises(DeadlineExceeded, match="still updating after 3 s"):
        client(lambda _: httpx.Response(200, json=tenant("updating", "running"))).wait_tenant("acme", timeout=3)


def test_the_token_of_the_home_is_the_default(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="landlord up"):
        Client.of(Settings(home=tmp_path))
    (tmp_path / "token").write_text("from-file\n")
    with Client.of(Settings(home=tmp_path, port=8123)) as found:
        assert found.url == "http://127.0.0.1:8123"
        assert found._http.headers["Authorization"] == "Bearer from-file"
    with Client.of(Settings(home=tmp_path, url="https://x:1/", token=SecretStr("given"))) as found:
        assert found.url == "https://x:1"
        assert found._http.headers["Authorization"] == "Bearer given"


def events_of(*lines: str) -> httpx.Response:
    return httpx.Response(200, text="".join(f"{line}\n\n" for line in lines))


def event(id: int, status: str = "ready") -> str:
    return f"id: {id}\ndata: " + json.dumps({"id": id, "type": "tenant.status", "status": status})


def test_a_watch_begins_at_the_newest_event_and_goes_on_after_a_break_without_a_gap() -> None:
    handle, seen = answering(
        httpx.Response(200, json={"items": [{"id": 7}], "next_cursor": None}),
        events_of(": heartbeat", event(8), event(9)),
        httpx.ConnectError("restarting"),
        httpx.Response(503, text="no server"),
        httpx.Response(503, json={"code": "overloaded"}),
        events_of(event(10, "deleted"), event(11, "deleted")),
    )
    assert [found["id"] for found in client(handle).watch("0190-id")] == [8, 9, 10, 11]
    assert [request.headers.get("Last-Event-ID") for request in seen] == [None, "7", "9", "9", "9", "9"]
    assert seen[1].url.path == "/v1/tenants/0190-id/watch"


def test_a_watch_of_all_outlives_the_end_of_a_tenant() -> None:
    handle, seen = answering(events_of(event(4, "deleted")), events_of(event(5)))
    watching = client(handle).watch(after=3)
    assert [next(watching)["id"], next(watching)["id"]] == [4, 5]
    assert [request.headers["Last-Event-ID"] for request in seen] == ["3", "4"]


def test_a_watch_that_never_began_is_refused_at_once() -> None:
    handle, _ = answering(httpx.Response(404, json={"code": "tenant_not_found", "detail": "no"}))
    with pytest.raises(Refused, match="no"):
        next(client(handle).watch("acme", after=1))
    handle, _ = answering(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match="landlord up"):
        next(client(handle).watch(after=1))


def test_a_watch_gives_up_when_no_server_comes_back() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers["Last-Event-ID"] == "1":
            return events_of(event(2))
        raise httpx.ConnectError("refused")

    watching = client(handle).watch(after=1)
    assert next(watching)["id"] == 2
    with pytest.raises(Unreachable, match="landlord up"):
        next(watching)


def test_a_plan_is_a_dry_run() -> None:
    handle, seen = answering(httpx.Response(200, json={"action": "none"}), httpx.Response(200, json={"action": "none"}))
    with client(handle) as there:
        there.plan_create({"name": "acme"})
        there.plan_update("acme", {"labels": {}})
    assert [(request.method, request.url.params["dry_run"]) for request in seen] == [
        ("POST", "true"),
        ("PATCH", "true"),
    ]


def test_logs_are_text_and_their_refusal_is_a_problem() -> None:
    handle, seen = answering(
        httpx.Response(200, text="one\ntwo\n"), httpx.Response(422, json={"code": "logs_not_supported"})
    )
    with client(handle) as there:
        assert there.tenant_logs("acme", tail=2) == "one\ntwo\n"
        with pytest.raises(Refused) as caught:
            there.tenant_logs("acme")
    assert seen[0].url.params["tail"] == "2"
    assert caught.value.code == "logs_not_supported"


def test_a_token_is_never_asked_for_twice() -> None:
    handle, seen = answering(httpx.ReadError("gone"))
    with pytest.raises(Unreachable):
        client(handle).create_token("ci", "viewer")
    assert len(seen) == 1


def test_a_pause_is_of_a_provider_or_of_all() -> None:
    none = {"all": False, "providers": []}
    handle, seen = answering(httpx.Response(200, json=none), httpx.Response(200, json=none))
    with client(handle) as there:
        there.pause("docker")
        there.resume(None)
    assert [(request.url.path, json.loads(request.content)) for request in seen] == [
        ("/v1/admin/pause", {"provider": "docker"}),
        ("/v1/admin/resume", {"all": True}),
    ]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://[::1]:8000/", "http://localhost", "https://landlord.test"]
)
def test_a_token_is_sent_to_this_machine_and_by_https(url: str) -> None:
    with Client(url, "secret"):
        pass


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.5:8000", "http://landlord.test", "http://localhost.evil.test", "landlord:8000", "http://0.0.0.0"],
)
def test_a_token_crosses_no_network_in_clear(url: str) -> None:
    with pytest.raises(SettingsError, match="would go there in clear"):
        Client(url, "secret")
