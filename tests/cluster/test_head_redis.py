"""The head is lost, and comes back as the same cluster: a Redis has kept what Ray knows of it."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine
from tests.cluster.members import Member, invited
from tests.cluster.servers import REDIS_PASSWORD, Redis
from tests.cluster.test_placement import get, page, run_there, spec
from tests.cluster.waiting import nodes, until
from tests.postgres import DebianServer
from tests.processes import kill

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1800)]

TENANTS = ("a", "b", "c")
PAUSE_SECONDS = 0.5
MADE_SECONDS = 60
RUNNING = "SELECT id FROM clusters WHERE state = 'active'"


@pytest.fixture(scope="module")
def cluster(machines: tuple[Machine, Machine], server: DebianServer, redis: Redis) -> Iterator[tuple[Member, Member]]:
    """Two machines, the first the head, with tenants on the second whose actors stay."""
    settings = {
        "LANDLORD_DATABASE_URL": server.url(host=server.address, sslmode="require"),
        "LANDLORD_COMPUTE_PROVIDERS": "process",
        "LANDLORD_ACTOR_IDLE_SECONDS": "never",
        "LANDLORD_ADMIN_TOKEN": TOKEN,
    }
    first = Member(machines[0], PORT, **settings, LANDLORD_RAY_REDIS=redis.url)
    second = Member(machines[1], PORT, **settings)
    first.run("up")
    second.run("node", "join", first.machine.address, "--invitation", str(invited(first, second)))
    with second.http(first.home / "nodes" / "ca.pem", TOKEN) as client:
        for name in TENANTS:
            body = {"name": name, "spec": there("before")}
            made = client.post("/tenants", json=body, headers={"Prefer": f"wait={MADE_SECONDS}"})
            assert made.json()["status"] == "ready", made.text
    yield first, second
    second.run("node", "leave")
    first.run("down")
    assert redis.keys() == [], "an ended cluster is forgotten"


@pytest.fixture
def client(cluster: tuple[Member, Member]) -> Iterator[httpx.Client]:
    """Of the second machine's API."""
    with cluster[1].http(cluster[0].home / "nodes" / "ca.pem", TOKEN) as client:
        yield client


def there(text: str) -> dict[str, Any]:
    return {**spec(text), "placement": {"node": "second"}}


def owners(server: DebianServer) -> dict[str, str]:
    """Who owns each tenant of the second machine, by Ray's id of the actor, and under which fence."""
    rows = server.sql("SELECT name || '=' || lease_owner || '/' || fence FROM tenants WHERE lease_owner <> ''")
    found = dict(row.split("=") for row in rows.splitlines())
    return {name: found[name] for name in TENANTS}


class Changes:
    """Changes one tenant after the other without pause, at the second machine. `acknowledged`: the last text of each
    that was accepted. `refused`: the codes of the problems that others met. `unclear`: what is neither."""

    def __init__(self, client: httpx.Client) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: list[str] = []
        self.unclear: list[str] = []
        self.count = 0
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)

    def __enter__(self) -> "Changes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _change(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            name, text = TENANTS[self.count % len(TENANTS)], f"change {self.count}"
            self.count += 1
            try:
                answer = self._client.patch(f"/tenants/{name}", json={"spec": there(text)})
            except httpx.HTTPError as error:
                self.unclear.append(repr(error))
                continue
            if answer.status_code in (200, 202):
                self.acknowledged[name] = text
            elif answer.headers["content-type"] == "application/problem+json":
                self.refused.append(answer.json()["code"])
            else:
                self.unclear.append(f"{answer.status_code} {answer.text}")


def end_right(client: httpx.Client, changes: Changes) -> None:
    """What was acknowledged last is what serves."""
    print(f"{changes.count} changes, refused: {changes.refused}")
    assert changes.unclear == []
    assert changes.acknowledged.keys() == set(TENANTS)
    for name, text in changes.acknowledged.items():
        tenant = until(
            lambda name=name: (found := get(client, name))["status"] == "ready" and found, f"{name} is ready"
        )
        assert tenant["observed_generation"] == tenant["generation"]
        assert page(tenant) == f"page of {text}"


def test_nobody_sees_the_password(cluster: tuple[Member, Member]) -> None:
    shown, known = [], []
    for one in [*cluster[0].machine.processes(), *cluster[1].machine.processes()]:
        shown += [one for word in one.cmdline() if REDIS_PASSWORD in word]
        known += [one.name() for text in one.environ().values() if REDIS_PASSWORD in text]
    assert shown == []
    assert known == ["gcs_server"]


@pytest.mark.parametrize("lost", ["its store", "all of it"])
def test_the_other_machine_goes_on_without_the_head(
    cluster: tuple[Member, Member], client: httpx.Client, server: DebianServer, lost: str
) -> None:
    first, second = cluster
    running, owned = server.sql(RUNNING), owners(server)
    late = lost.replace(" ", "-")
    with second.http(first.home / "nodes" / "ca.pem", TOKEN) as other, Changes(other) as changes:
        if lost == "its store":
            kill([one for one in first.machine.processes() if one.name() == "gcs_server"])
        else:
            first.machine.die()
        done = changes.count
        until(lambda: changes.count > done + 2 * len(TENANTS), "changes are answered meanwhile")
        assert client.post("/tenants", json={"name": late, "spec": there(late)}).status_code == 202
        assert owners(server) == owned
        assert "starting the head again: gcs_server does not run" in first.run("up")
        done = changes.count
        until(lambda: changes.count > done + len(TENANTS), "changes are answered again")
    end_right(client, changes)
    assert (server.sql(RUNNING), owners(server)) == (running, owned), "the same cluster, and the same actors"
    tenant = until(
        lambda: (found := get(client, late))["status"] == "ready" and found, "what was new meanwhile is ready"
    )
    assert page(tenant) == f"page of {late}"
    assert {run_there(second.machine, text) for text in [late, *changes.acknowledged.values()]} == {1}
    until(lambda: "No differences" in first.run("doctor", check=False), "the doctor finds nothing")
    assert set(nodes(client)) == {"first", "second"}
