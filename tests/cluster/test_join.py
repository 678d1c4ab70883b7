"""A second machine joins a cluster, serves its API, runs an actor, and leaves."""

import json

import pytest

from tests.cluster.conftest import TOKEN
from tests.cluster.members import Member
from tests.cluster.waiting import nodes, until
from tests.postgres import DebianServer

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(900)]

SPEC = {"compute": {"provider": "fake", "config": {}}}
RAYS_OWN = ("gcs_server", "raylet", "ray::", "python")
"""Processes that listen on all addresses: Ray has no setting for it."""


def test_a_machine_joins_serves_and_leaves(members: tuple[Member, Member], server: DebianServer) -> None:
    first, second = members
    first.run("up")
    authority = first.home / "nodes" / "ca.pem"
    head, address = first.machine.address, second.machine.address

    # Refused: no invitation, another database, another release.
    assert "landlord node invite" in second.run("node", "join", head, check=False)
    server.sql("CREATE DATABASE other", database="postgres")
    other = server.url(host=server.address, sslmode="require").replace("/landlord?", "/other?")
    refused = second.run("node", "join", head, check=False, LANDLORD_DATABASE_URL=other)
    assert "is its database this one?" in refused
    invitation = second.machine.directory / "invitation"
    invitation.write_text(first.run("node", "invite", address))
    words = ("node", "join", head, "--invitation", str(invitation))
    build = server.sql("SELECT build FROM clusters")
    server.sql("UPDATE clusters SET build = '0.0.9+deadbeef'")
    assert "the head runs 0.0.9+deadbeef: install the same on both" in second.run(*words, check=False)
    server.sql(f"UPDATE clusters SET build = '{build}'")

    assert "This machine has joined" in second.run(*words)
    with second.http(authority, TOKEN) as client:
        both = until(lambda: (found := nodes(client)).keys() == {"first", "second"} and found, "two nodes")
        assert both["second"]["address"] == address
        assert all(node["alive"] for node in both.values())
        answer = client.post("/tenants", json={"name": "far", "spec": SPEC}, headers={"Prefer": "wait=60"})
        assert (answer.status_code, answer.json()["status"]) == (200, "ready"), answer.text
    assert "This machine is a node already" in second.run("node", "join", head)
    assert "joined the cluster" in second.run("up", check=False)

    for member in members:
        own = ("127.0.0.1", "[::ffff:127.0.0.1]", member.machine.address, f"[::ffff:{member.machine.address}]")
        wide = [one for one in member.listening() if one[0].rpartition(":")[0] not in own]
        assert all(program.startswith(RAYS_OWN) for _, program in wide), wide
        assert member.listens("haproxy") >= {f"{member.machine.address}:{member.port}", f"127.0.0.1:{member.port}"}

    assert "has left the cluster" in second.run("node", "leave")
    with first.http(authority, TOKEN) as client:
        until(lambda: not nodes(client)["second"]["alive"], "the second is gone")
        assert client.get("/tenants/far").json()["status"] == "ready"
    assert json.loads(second.run("status", "-o", "json", check=False))[0]["state"] == "down"
    first.run("down")
