"""The loops of `drain --wait` and `restore`: when they end, and with what."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest

from controlplane.cli.drain import await_rest
from controlplane.cli.node import await_empty
from controlplane.cli.restore import mend, wake_all
from controlplane.errors import DeadlineExceeded
from landlord_client import Client, Node, NodePlatform, Nodes

LOST: dict[str, Any] = {"kind": "missing_resource", "tenant": "acme", "resource": None, "detail": "gone"}


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(handle: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("https://landlord.test", "secret", transport=httpx.MockTransport(handle))


def named(name: str, status: str = "ready") -> dict[str, Any]:
    return {"id": name, "name": name, "status": status, "workflow": {"state": "succeeded"}}


def world(*moments: tuple[list[dict[str, Any]], str]) -> Client:
    """Differences and the tenant's status, at one look after another; the last stays."""
    looks = list(moments)

    def handle(request: httpx.Request) -> httpx.Response:
        differences, status = looks[0]
        if request.url.path.endswith("/consistency"):
            return httpx.Response(200, json={"differences": differences})
        if len(looks) > 1:
            looks.pop(0)
        tenant = named("acme", status)
        return httpx.Response(200, json={"items": [tenant], "next_cursor": None})

    return client(handle)


def test_a_drain_ends_once_nothing_is_owned() -> None:
    time, looks, said = Time(), iter([None, 2, 0]), []
    await_rest(lambda: next(looks), said.append, 10, sleep=time.sleep, clock=time.clock)
    assert said == ["draining: the supervisor has not noticed yet", "draining: 2 tenants are still owned"]


def test_a_drain_that_takes_too_long_says_what_is_left() -> None:
    time = Time()
    with pytest.raises(DeadlineExceeded, match="2 tenants are still owned; the drain goes on"):
        await_rest(lambda: 2, lambda _: None, 3, sleep=time.sleep, clock=time.clock)


def test_mending_ends_at_once_where_nothing_differs_and_nothing_works() -> None:
    time = Time()
    there = world(([LOST], "ready"), ([], "updating"), ([], "ready"))
    found = mend(there, lambda _: None, 600, patience=40, sleep=time.sleep, clock=time.clock)
    assert found.document == {"differences": []}
    assert time.now == 2


@pytest.mark.parametrize(("status", "timeout", "took"), [("degraded", 600, 41), ("updating", 100, 101)])
def test_mending_gives_up_on_what_stays(status: str, timeout: float, took: float) -> None:
    time = Time()
    there = world(([LOST], status))
    found = mend(there, lambda _: None, timeout, patience=40, sleep=time.sleep, clock=time.clock)
    assert (found.document, time.now) == ({"differences": [LOST]}, took)


def test_every_tenant_is_woken_and_one_that_went_meanwhile_is_no_matter() -> None:
    woken = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"items": [named("a"), named("b")], "next_cursor": None})
        woken.append(request.url.path)
        return httpx.Response(410, json={"code": "tenant_deleted"})

    wake_all(client(handle))
    assert woken == ["/v1/tenants/a/reconcile", "/v1/tenants/b/reconcile"]


def seen(second: int, *, actors: int = 0, tenants: int = 0) -> Nodes:
    platforms = {"docker": NodePlatform(engine="id", tenants=tenants)}
    node = Node(name="web-2", live_actors=actors, providers=platforms)
    return Nodes(
        items=[Node(name="web-1", live_actors=9), node], checked_at=datetime(2026, 1, 1, second=second, tzinfo=UTC)
    )


def test_a_drained_node_is_empty_once_the_supervisor_has_looked_again() -> None:
    time, said = Time(), []
    looks = iter([seen(1), seen(1), seen(2, actors=1, tenants=2), seen(3, tenants=1), seen(4)])
    await_empty(lambda: next(looks), "web-2", said.append, 10, tenants=True, sleep=time.sleep, clock=time.clock)
    assert said == [
        "the supervisor has not looked yet",
        "1 actors and 2 tenants are there",
        "0 actors and 1 tenants are there",
    ]
    looks = iter([seen(1), seen(2, tenants=2)])
    await_empty(lambda: next(looks), "web-2", said.append, 10, tenants=False, sleep=time.sleep, clock=time.clock)


def test_a_node_that_stays_full_is_waited_for_only_so_long() -> None:
    time, moments = Time(), count()
    with pytest.raises(DeadlineExceeded, match="after 3 s 0 actors and 1 tenants are there; the drain goes on"):
        await_empty(
            lambda: seen(next(moments) % 60, tenants=1),
            "web-2",
            lambda _: None,
            3,
            tenants=True,
            sleep=time.sleep,
            clock=time.clock,
        )
