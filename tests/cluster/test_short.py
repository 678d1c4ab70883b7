"""The cluster's part of `make test`: a machine joins, has tenants, is cut off, dies, comes back and leaves."""

import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.chaos.load import spec_of
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.cuts import BOTH_WAYS, SHORT, Cut
from tests.cluster.machines import Machine, Network
from tests.cluster.members import Member, invited, joined
from tests.cluster.run import run
from tests.cluster.waiting import nodes, until
from tests.postgres import DebianServer

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make machines of namespaces"),
    # A request that is given up in the middle of its TLS handshake leaves our own socket to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GRACE_SECONDS = 5
TOLD_SECONDS = 30
WAIT = {"Prefer": "wait=60"}


@pytest.fixture(scope="module")
def cluster(machines: tuple[Machine, Machine], server: DebianServer) -> Iterator[list[Member]]:
    """Two machines, the first the head, each with its own platform."""
    members = joined(machines, server, PORT, TOKEN, GRACE_SECONDS)
    with _http(members) as client:
        until(
            lambda: ["process" in node["providers"] for node in nodes(client).values()] == [True, True],
            "each machine has its platform",
        )
    yield members
    members[0].run("down", "--purge")


def _http(members: list[Member], through: int = 0) -> httpx.Client:
    return members[through].http(members[0].home / "nodes" / "ca.pem", TOKEN)


def _made(client: httpx.Client, name: str, node: str) -> dict[str, Any]:
    body = {"name": name, "spec": {**spec_of("process", name, ""), "placement": {"node": node}}}
    tenant: dict[str, Any] = client.post("/tenants", json=body, headers=WAIT).json()
    assert (tenant["status"], tenant["observed"]["node"]) == ("ready", node), tenant
    return tenant


def _text(machine: Machine, tenant: dict[str, Any]) -> str:
    """What it serves to that machine."""
    return machine.run("curl", "-sS", "--noproxy", "*", tenant["observed"]["endpoints"][0]["url"])


def test_a_machine_with_another_database_or_release_is_refused(
    cluster: list[Member], network: Network, server: DebianServer
) -> None:
    head = cluster[0]
    third = Member(network.machine("third"), PORT, **_shared(head))
    words = ("node", "join", head.machine.address, "--invitation", str(invited(head, third)))
    server.sql("CREATE DATABASE other", database="postgres")
    other = server.url(host=server.address, sslmode="require").replace("/landlord?", "/other?")
    assert "is its database this one?" in third.run(*words, check=False, LANDLORD_DATABASE_URL=other)
    build = server.sql("SELECT build FROM clusters")
    server.sql("UPDATE clusters SET build = '0.0.9+deadbeef'")
    try:
        assert "the head runs 0.0.9+deadbeef: install the same on both" in third.run(*words, check=False)
    finally:
        server.sql(f"UPDATE clusters SET build = '{build}'")
    assert third.machine.processes() == []


def _shared(head: Member) -> dict[str, str]:
    """The settings that all machines of its cluster have."""
    own = ("LANDLORD_HOME", "LANDLORD_PORT", "LANDLORD_NODE_ADDRESS")
    return {name: value for name, value in head.settings.items() if name not in own}


def test_tenants_run_where_their_placement_says_and_are_reached_from_there(cluster: list[Member]) -> None:
    first, second = (member.machine for member in cluster)
    with _http(cluster, through=1) as client:
        for number, (here, there) in enumerate([(second, first), (second, first), (first, second)]):
            tenant = _made(client, f"placed-{number}", here.name)
            assert tenant["observed"]["endpoints"][0]["url"].startswith(f"http://{here.address}:")
            assert _text(there, tenant) == tenant["name"]
    listed = cluster[1].run("node", "list", LANDLORD_TOKEN=TOKEN)
    assert all(machine.name in listed and machine.address in listed for machine in (first, second)), listed


async def test_nothing_is_lost_doubled_or_left_behind_of_a_machine_cut_off_for_5_s(cluster: list[Member]) -> None:
    report = await run(cluster, TOKEN, 1, Cut(1, BOTH_WAYS, SHORT))
    assert report.acknowledged > 0


def test_tenants_of_a_machine_that_dies_are_made_anew_and_it_comes_back_and_leaves(cluster: list[Member]) -> None:
    head, other = cluster
    with _http(cluster) as client:
        _made(client, "orphaned", "second")
        assert client.patch("/tenants/orphaned", json={"spec": {"placement": None}}, headers=WAIT).status_code == 200
        since = time.monotonic()
        other.machine.die()

        def told() -> bool:
            conditions = client.get("/tenants/orphaned").json()["conditions"]
            return any(one["reason"] == "NodeLost" for one in conditions)

        until(told, "its tenant is degraded, NodeLost", TOLD_SECONDS - (time.monotonic() - since))

        def elsewhere() -> Any:
            tenant = client.get("/tenants/orphaned").json()
            return tenant["status"] == "ready" and tenant["observed"]["node"] == "first" and tenant

        anew = until(elsewhere, "it is made anew on the other machine")
        assert _text(head.machine, anew) == "orphaned"

        assert "This machine has joined" in other.run("node", "join", head.machine.address)
        assert _text(other.machine, anew) == "orphaned"
        until(
            lambda: not [path for path in (other.home / "processes").rglob("*") if "orphaned" in path.name],
            "what the other machine had of it is gone",
        )
        assert "has left the cluster" in other.run("node", "leave")
        until(lambda: not nodes(client)["second"]["alive"], "the other machine is gone")
        assert other.machine.processes() == []
        assert client.get("/tenants/orphaned").json()["status"] == "ready"
