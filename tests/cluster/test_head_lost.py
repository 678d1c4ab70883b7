"""The machine of the head is lost, and another one takes its place."""

import pytest

from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine
from tests.cluster.members import Member
from tests.cluster.servers import MachineEngine
from tests.cluster.waiting import until
from tests.postgres import DebianServer

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_another_machine_becomes_the_head_and_goes_on_with_its_tenants(
    machines: tuple[Machine, Machine], server: DebianServer, engine: MachineEngine
) -> None:
    settings = {
        "LANDLORD_DATABASE_URL": server.url(host=server.address, sslmode="require"),
        "LANDLORD_COMPUTE_PROVIDERS": "docker",
        "LANDLORD_ACTOR_IDLE_SECONDS": "never",
        "LANDLORD_ADMIN_TOKEN": TOKEN,
        **engine.by_tls,
    }
    first, second = (Member(machine, PORT, **settings) for machine in machines)
    head = first.machine.address
    first.run("up")
    invitation = second.machine.directory / "invitation"
    invitation.write_text(first.run("node", "invite", second.machine.address))
    second.run("node", "join", head, "--invitation", str(invitation))
    prefer = {"Prefer": "wait=60"}
    with first.http(first.home / "nodes" / "ca.pem", TOKEN) as client:
        body = {"name": "acme", "spec": engine.spec("before")}
        made = client.post("/tenants", json=body, headers=prefer)
        assert made.json()["status"] == "ready", made.text

    first.machine.die()
    assert "has left the cluster" in second.run("node", "leave")
    assert f"the cluster of {head} has ended" in second.run("up", "--take-over", head)
    assert server.sql("SELECT string_agg(state, ' ' ORDER BY started_at) FROM clusters") == "ended active"
    with second.http(second.home / "nodes" / "ca.pem", TOKEN) as client:
        changed = {"spec": engine.spec("after")}
        assert client.patch("/tenants/acme", json=changed, headers=prefer).status_code in (200, 202)
        tenant = until(lambda: (found := client.get("/tenants/acme").json())["status"] == "ready" and found, "ready")
        assert (tenant["generation"], tenant["observed_generation"]) == (2, 2)
        until(lambda: len(engine.containers()) == 1, "the replaced one is gone")
        assert client.get("/admin/consistency").json()["differences"] == []
    assert "has its head at" in second.run("up", "--take-over", head, check=False)
    second.run("node", "invite", head)
    second.run("down")
