"""60 tenants over three machines."""

from collections import Counter

import httpx
import pytest

from tests.chaos.load import spec_of
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.cuts import GRACE_SECONDS
from tests.cluster.machines import Machine, Network
from tests.cluster.members import joined
from tests.cluster.waiting import nodes, until
from tests.postgres import DebianServer
from tests.processes import such

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1800)]

TENANTS = 60
EACH = range(16, 25)
"""A third of them, 20 % more or less."""
SECONDS = 600


def test_60_tenants_are_spread_reached_and_gone_without_a_trace(
    network: Network, machines: tuple[Machine, Machine], server: DebianServer
) -> None:
    three = [*machines, network.machine("third")]
    members = joined(three, server, PORT, TOKEN, GRACE_SECONDS)
    names = [f"many-{number}" for number in range(TENANTS)]
    addresses = {machine.name: machine.address for machine in three}
    with members[1].http(members[0].home / "nodes" / "ca.pem", TOKEN) as client:

        def all_of(status: str) -> list[dict[str, object]]:
            found = client.get("/tenants", params={"limit": 200, "status": status}).json()["items"]
            return list(found) if len(found) == TENANTS else []

        until(
            lambda: len([node for node in nodes(client).values() if "process" in node["providers"]]) == len(three),
            "each machine has its platform",
        )
        for name in names:
            answer = client.post("/tenants", json={"name": name, "spec": spec_of("process", name, "")})
            assert answer.status_code == 202, answer.text
        ready = until(lambda: all_of("ready"), "all are ready", SECONDS)
        spread = Counter(tenant["observed"]["node"] for tenant in ready)
        assert len(spread) == len(three), spread
        assert all(count in EACH for count in spread.values()), spread

        for tenant in ready:
            url, node = tenant["observed"]["endpoints"][0]["url"], tenant["observed"]["node"]
            assert url.startswith(f"http://{addresses[node]}:"), (url, node)
            assert httpx.get(url, timeout=30, trust_env=False).text == tenant["name"]
        url = ready[0]["observed"]["endpoints"][0]["url"]
        for other in three:  # also from one another
            assert other.run("curl", "-sS", "--noproxy", "*", url) == ready[0]["name"]

        for name in names:
            assert client.delete(f"/tenants/{name}").status_code == 202
        until(lambda: not client.get("/tenants", params={"limit": 1}).json()["items"], "all are gone", SECONDS)
    for member in members:
        assert such(lambda one: one.environ().get("COLOR") in names, member.machine.processes()) == []
        kept = [path for path in (member.home / "processes").rglob("*") if "many-" in path.name]
        assert kept == []
        assert "No differences" in member.run("doctor", LANDLORD_TOKEN=TOKEN)
