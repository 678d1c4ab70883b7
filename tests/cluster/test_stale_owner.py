"""Two actors of one tenant that both think they own it: one on a machine that the head cannot see, and one here."""

import contextlib
import signal
import time

import psutil
import pytest

from tests.chaos.load import spec_of
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine
from tests.cluster.members import Member, invited
from tests.cluster.waiting import nodes, until
from tests.postgres import DebianServer
from tests.processes import processes_with, such, titled

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]

GRACE_SECONDS = 10
SECONDS = 180
AWAKE_SECONDS = 20.0
"""As long the stale one is watched once it is awake."""


def test_a_stale_owner_that_wakes_up_has_no_effect_and_writes_no_row(
    machines: tuple[Machine, Machine], server: DebianServer
) -> None:
    """It stands still before its effect, on a machine that reaches Postgres and not the head, until another owner has
    done its work elsewhere. Then it goes on."""
    points = machines[1].directory / "points"
    points.mkdir()
    held = points / "apply_compute.before_effect"
    held.write_text("hold")
    settings = {
        "LANDLORD_DATABASE_URL": server.url(host=server.address, sslmode="require"),
        "LANDLORD_COMPUTE_PROVIDERS": "process",
        "LANDLORD_NODE_GRACE_SECONDS": str(GRACE_SECONDS),
        "LANDLORD_ADMIN_TOKEN": TOKEN,
    }
    first = Member(machines[0], PORT, **settings)
    second = Member(machines[1], PORT, **settings, LANDLORD_FAILPOINTS=str(points))
    first.run("up")
    second.run("node", "join", first.machine.address, "--invitation", str(invited(first, second)))
    head = first.machine.address
    with first.http(first.home / "nodes" / "ca.pem", TOKEN) as client:
        until(lambda: all("process" in one["providers"] for one in nodes(client).values()), "platforms", SECONDS)
        first.run("node", "drain", "first", LANDLORD_TOKEN=TOKEN)
        spec = spec_of("process", "twice-owned", "")
        made = client.post("/tenants", json={"name": "acme", "spec": spec}).json()["workflow_execution_id"]
        until(lambda: held.with_name(f"{held.name}.reached").exists(), "it stands before its effect", SECONDS)
        first.run("node", "drain", "first", "--undo", LANDLORD_TOKEN=TOKEN)
        (stale,) = _owners(second.machine)
        stale.send_signal(signal.SIGSTOP)
        try:
            with second.machine.dropping(f"INPUT -s {head}", f"OUTPUT -d {head}"):
                ready = until(
                    lambda: (one := client.get("/tenants/acme").json())["status"] == "ready" and one, "ready", 300
                )
                assert ready["observed"]["node"] == "first"
                assert len(processes_with("twice-owned")) == 1
                before = _rows(server, made)
                assert stale.is_running()
                held.unlink()
                stale.send_signal(signal.SIGCONT)
                watched = time.monotonic() + AWAKE_SECONDS
                while time.monotonic() < watched:
                    assert len(processes_with("twice-owned")) == 1
                    time.sleep(0.05)
                assert _rows(server, made) == before
                until(lambda: _owners(second.machine) == [], "it has left", SECONDS)
        finally:
            with contextlib.suppress(psutil.Error):
                stale.send_signal(signal.SIGCONT)
        assert client.get("/tenants/acme").json()["observed"]["endpoints"] == ready["observed"]["endpoints"]


def _owners(machine: Machine) -> list[psutil.Process]:
    """The tenants' actors there: each bears the name of its class, or that of the step that it runs."""
    there = titled(("ray::Tenant", "ray::tenant", "ray::acme/"), machine.processes())
    return such(lambda one: one.status() != psutil.STATUS_ZOMBIE, there)


def _rows(server: DebianServer, execution: str) -> str:
    """What an owner writes of its tenant and of all its executions, and the trail of that one."""
    return server.sql(
        "SELECT string_agg(said, chr(10) ORDER BY said) FROM ("
        " SELECT concat(status, generation, serving_execution, fence, split_part(lease_owner, '/', 2)) FROM tenants"
        " UNION ALL SELECT to_jsonb(executions)::text FROM executions"
        " UNION ALL SELECT to_jsonb(steps)::text FROM steps"
        f" UNION ALL SELECT to_jsonb(events)::text FROM events WHERE execution_id = '{execution}'"
        ") AS rows (said)"
    )
