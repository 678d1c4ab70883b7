"""Tenants on the machines of a cluster: each is placed, moved, and made anew where its machine is lost."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine
from tests.cluster.members import Member
from tests.cluster.waiting import until
from tests.postgres import DebianServer

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]

SECONDS = 120
GRACE_SECONDS = 20
PAGE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[3].encode())
    def log_message(self, *arguments):
        pass
print(f"{sys.argv[3]} begins", flush=True)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Page).serve_forever()
"""


@pytest.fixture(scope="module")
def cluster(machines: tuple[Machine, Machine], server: DebianServer) -> tuple[Member, Member]:
    """Two machines, the first the head."""
    settings = {
        "LANDLORD_DATABASE_URL": server.url(host=server.address, sslmode="require"),
        "LANDLORD_COMPUTE_PROVIDERS": "process",
        "LANDLORD_NODE_GRACE_SECONDS": str(GRACE_SECONDS),
        "LANDLORD_ADMIN_TOKEN": TOKEN,
    }
    first, second = (Member(machine, PORT, **settings) for machine in machines)
    first.run("up")
    invitation = second.machine.directory / "invitation"
    invitation.write_text(first.run("node", "invite", second.machine.address))
    second.run("node", "join", first.machine.address, "--invitation", str(invitation))
    return first, second


@pytest.fixture
def client(cluster: tuple[Member, Member]) -> Iterator[httpx.Client]:
    head = cluster[0]
    with head.http(head.home / "nodes" / "ca.pem", TOKEN) as client:
        yield client


def spec(text: str) -> dict[str, Any]:
    return {
        "compute": {
            "provider": "process",
            "config": {"command": ["python3", "-I", "-S", "-c", PAGE, "{address}", "{port}", f"page of {text}"]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


def get(client: httpx.Client, name: str) -> dict[str, Any]:
    answer = client.get(f"/tenants/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def page(tenant: dict[str, Any]) -> str:
    return httpx.get(tenant["observed"]["endpoints"][0]["url"], timeout=10, trust_env=False).text


def run_there(machine: Machine, text: str) -> int:
    """How many processes there serve that page."""
    found = 0
    for one in machine.processes():
        with contextlib.suppress(Exception):
            found += one.cmdline()[-1:] == [f"page of {text}"] and one.cmdline()[0].endswith("python3")
    return found


class Visitor:
    """Asks for a tenant's page without pause, at the address that the API says. `failed`: those requests that failed
    although the API was asked again after the failure before."""

    def __init__(self, client: httpx.Client, name: str) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._client = client
        self._name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(SECONDS)

    def _visit(self) -> None:
        tenant = get(self._client, self._name)
        while not self._over.is_set():
            try:
                try:
                    assert page(tenant) == f"page of {self._name}"
                except httpx.HTTPError:
                    tenant = get(self._client, self._name)
                    assert page(tenant) == f"page of {self._name}"
                self.answered += 1
            except (httpx.HTTPError, AssertionError) as error:
                self.failed.append(repr(error))
            time.sleep(0.02)


def test_tenants_are_placed_moved_and_made_anew(cluster: tuple[Member, Member], client: httpx.Client) -> None:
    first, second = (member.machine for member in cluster)
    known = until(
        lambda: (
            (found := {one["name"]: one for one in client.get("/nodes").json()["items"]}).keys() == {"first", "second"}
            and all("process" in one["providers"] for one in found.values())
            and found
        ),
        "each machine has its own platform",
    )
    assert len({one["providers"]["process"]["engine"] for one in known.values()}) == 2

    # Placed, and reached from this machine, which is a third one.
    names = ("a", "b", "c", "d")
    for name in names:
        made = client.post("/tenants", json={"name": name, "spec": spec(name)}, headers={"Prefer": "wait=60"})
        assert made.status_code in (200, 202), made.text
    tenants = {
        name: until(lambda name=name: (one := get(client, name))["status"] == "ready" and one, f"{name} is ready")
        for name in names
    }
    on = {name: tenant["observed"]["node"] for name, tenant in tenants.items()}
    assert sorted(on.values()) == ["first", "first", "second", "second"], on
    for name, tenant in tenants.items():
        there = first if on[name] == "first" else second
        assert tenant["observed"]["endpoints"][0]["url"].startswith(f"http://{there.address}:")
        assert page(tenant) == f"page of {name}"
        assert run_there(there, name) == 1

    # Commands and logs are had at any machine.
    for member in cluster:
        with member.http(cluster[0].home / "nodes" / "ca.pem", TOKEN) as asked:
            for name in names:
                ran = asked.post(f"/tenants/{name}/exec", json={"command": ["sh", "-c", "echo said by $0", name]})
                assert ran.json() == {"exit_code": 0, "output": f"said by {name}\n", "cut": False}, ran.text
                shown = asked.get(f"/tenants/{name}/logs")
                assert (shown.status_code, shown.text) == (200, f"page of {name} begins\n")

    # Moved: the new one is healthy before the old one goes.
    mover, stays = [name for name in names if on[name] == "second"]
    with Visitor(client, mover) as visitor:
        patched = client.patch(f"/tenants/{mover}", json={"spec": {"placement": {"node": "first"}}})
        assert patched.status_code == 202, patched.text
        moved = until(
            lambda: (one := get(client, mover))["status"] == "ready" and one["observed_generation"] == 2 and one,
            f"{mover} has moved",
        )
    assert visitor.failed == []
    assert visitor.answered > 0
    assert moved["observed"]["node"] == "first"
    assert (run_there(first, mover), run_there(second, mover)) == (1, 0)

    # Lost: told, and made anew after the grace. What the silent machine holds runs on, and goes when it is back.
    second.cut()
    since = time.monotonic()
    lost = until(lambda: (one := get(client, stays))["status"] == "degraded" and one, f"{stays} is degraded")
    print(f"NodeLost after {time.monotonic() - since:.1f} s")
    healthy = next(one for one in lost["conditions"] if one["type"] == "Healthy")
    assert healthy["reason"] == "NodeLost"
    anew = until(
        lambda: (one := get(client, stays))["status"] == "ready" and one["observed"]["node"] == "first" and one,
        f"{stays} is made anew",
    )
    assert page(anew) == f"page of {stays}"
    assert (run_there(first, stays), run_there(second, stays)) == (1, 1)
    second.mend()
    cluster[1].run("node", "join", first.address)
    until(lambda: run_there(second, stays) == 0, "what the lost machine held is gone")
    assert page(get(client, stays)) == f"page of {stays}"
    assert cluster[0].run("doctor")

    client.patch(f"/tenants/{mover}", json={"spec": {"placement": None}})  # else it has to stay there
    until(lambda: get(client, mover)["observed_generation"] == 3, f"{mover} may go anywhere")

    # Drained: all of them go to the other machine, one after the other, and none fails a request.
    with Visitor(client, "a") as visitor:
        drained = cluster[0].run("node", "drain", "first", "--tenants", "--wait", "--timeout", str(SECONDS))
    assert "Drained" in drained
    assert visitor.failed == []
    assert {get(client, name)["observed"]["node"] for name in names} == {"second"}
    assert sum(run_there(first, name) for name in names) == 0
    for name in names:
        assert page(get(client, name)) == f"page of {name}"
    cluster[0].run("node", "drain", "first", "--undo")

    for name in names:
        client.delete(f"/tenants/{name}")
    for name in names:
        until(lambda name=name: client.get(f"/tenants/{name}").status_code == 410, f"{name} is deleted")
        assert run_there(first, name) + run_there(second, name) == 0
