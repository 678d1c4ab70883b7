"""A request arrives long after it was sent: the network was cut, and its client's kernel has kept it and sends it
again. Its client has asked another machine meanwhile, and has gone on."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.cluster.conftest import TOKEN
from tests.cluster.members import Member, invited

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]

HEADERS: Mapping[str, Mapping[str, str]] = {
    "keyed": {"Idempotency-Key": "first"},
    "matched": {"If-Match": '"1"'},
    "bare": {},
}
"""By tenant."""


def changed(client: httpx.Client, name: str, color: str, headers: Mapping[str, str]) -> httpx.Response:
    return client.patch(f"/tenants/{name}", json={"labels": {"color": color}}, headers=headers)


def test_a_request_that_arrives_late_acts_once_with_a_key_or_an_etag(members: tuple[Member, Member]) -> None:
    head, other = members
    head.run("up")
    other.run("node", "join", head.machine.address, "--invitation", str(invited(head, other)))
    authority = head.home / "nodes" / "ca.pem"
    here = head.machine.address.rsplit(".", 1)[0] + ".254"
    with ExitStack() as left:
        elsewhere = left.enter_context(other.http(authority, TOKEN))
        # One connection each: none is made while the machine is silent.
        clients = {name: left.enter_context(head.http(authority, TOKEN)) for name in HEADERS}
        at_once = left.enter_context(ThreadPoolExecutor(len(clients)))

        def tenant(name: str) -> dict[str, Any]:
            return dict(elsewhere.get(f"/tenants/{name}").json())

        for name, client in clients.items():
            spec = {"compute": {"provider": "fake", "config": {}}}
            assert client.post("/tenants", json={"name": name, "spec": spec}).status_code == 202
        # A client keeps an idle connection for 5 s.
        list(at_once.map(lambda name: clients[name].get(f"/tenants/{name}"), clients))
        on_their_way = Barrier(len(clients) + 1)
        with head.machine.dropping(f"INPUT -i eth0 -s {here}"):
            late = {}
            for name, client in clients.items():
                client.event_hooks = {"request": [lambda _: on_their_way.wait() and None]}
                late[name] = at_once.submit(changed, client, name, "first", HEADERS[name])
            on_their_way.wait()
            for name, headers in HEADERS.items():
                assert changed(elsewhere, name, "first", headers).status_code == 200
                assert changed(elsewhere, name, "second", {}).status_code == 200
            assert not any(request.done() for request in late.values())
        answers = {name: request.result() for name, request in late.items()}
        assert answers["keyed"].headers["Idempotency-Replayed"] == "true"
        assert answers["matched"].status_code == 412
        for name in ("keyed", "matched"):
            assert (tenant(name)["version"], tenant(name)["labels"]) == (3, {"color": "second"})
        assert (tenant("bare")["version"], tenant("bare")["labels"]) == (4, {"color": "first"})
    head.run("down", "--purge")
