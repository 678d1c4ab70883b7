"""A burst on a cluster of one, two and three machines: `python -m benchmarks.machines [--tenants 120] [--cores 0.4]`.

The machines are network namespaces, each with so many cores of this one and not more; Postgres has a machine of its
own, without a bound. Tenants of the fake cloud are made, 8 requests at a time, which go to all machines in turn; one
that was refused since its machine has too much to do is sent again.
`ready`: tenants a second, from the first intent until the last is ready, by the clock of the database; the floor is
that of one machine. `cpu`: processor time of each machine meanwhile. Needs root.
"""

import argparse
import asyncio
import contextlib
import itertools
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psutil

from benchmarks.at_once import at_once
from benchmarks.cores import cores
from benchmarks.installed import READY_WORKERS, home
from benchmarks.results import write
from benchmarks.spent import Spent
from landlord_client import AsyncClient
from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.machines import Machine, Network, running_network
from tests.cluster.members import Member, invited
from tests.cluster.servers import running_postgres
from tests.postgres import DebianServer
from tests.processes import titled

SPEC = {"compute": {"provider": "fake", "config": {}}}
AT_REST_SECONDS = 300.0
LONGEST = 1800.0
LOOK_SECONDS = 0.5


class Bed:
    """A cluster that grows, machine after machine."""

    def __init__(self, network: Network, server: DebianServer, left: ExitStack, bound: float) -> None:
        self.server = server
        self.members: list[Member] = []
        self._network = network
        self._left = left
        self._bound = bound

    def grow(self) -> None:
        """One machine more, which is bound from now on, and its ready workers stand ready."""
        settings = {
            "LANDLORD_DATABASE_URL": self.server.url(host=self.server.address, sslmode="require"),
            "LANDLORD_COMPUTE_PROVIDERS": "fake",
            "LANDLORD_ADMIN_TOKEN": TOKEN,
            "LANDLORD_SWEEP_SECONDS": "10",
        }
        member = Member(self._network.machine(f"m{len(self.members) + 1}"), PORT, **settings)
        if self.members:
            head = self.members[0]
            member.run("node", "join", head.machine.address, "--invitation", str(invited(head, member)))
        else:
            member.run("up")
        self.members.append(member)
        self._stands_ready(member.machine)
        own = self._left.enter_context(cores(member.machine.name))
        own.bound(self._bound)
        own.take(member.machine.processes)

    def _stands_ready(self, machine: Machine) -> None:
        give_up = time.monotonic() + AT_REST_SECONDS
        while len(titled("ray::IDLE", machine.processes())) < READY_WORKERS:
            assert time.monotonic() < give_up, f"no worker stands ready on {machine.name}"
            time.sleep(0.2)

    def clients(self) -> list[AsyncClient]:
        """One of each machine."""
        trusted = ssl.create_default_context(cafile=str(self.members[0].home / "nodes" / "ca.pem"))
        return [
            AsyncClient(f"https://{member.machine.address}:{member.port}", TOKEN, timeout=120, verify=trusted)
            for member in self.members
        ]

    def number(self, query: str) -> float:
        return float(self.server.sql(query))


async def burst(bed: Bed, count: int) -> dict[str, Any]:
    """Of that many tenants; they are gone afterwards. Figures by name, and `cpu` by machine and kind of process."""
    names = [f"burst-{number}" for number in range(count)]
    clients = bed.clients()
    turns = itertools.cycle(clients)

    async def create(name: str) -> None:
        await next(turns).create_tenant({"name": name, "spec": SPEC})

    async def delete(name: str) -> None:
        await next(turns).delete_tenant(name)

    async def until(count: int, state: str) -> None:
        give_up = time.monotonic() + LONGEST
        where = f"SELECT count(*) FROM tenants WHERE status = '{state}'"
        while await asyncio.to_thread(bed.number, where) != count:
            assert time.monotonic() < give_up, f"not all are {state}"
            await asyncio.to_thread(look)
            await asyncio.sleep(LOOK_SECONDS)

    def look() -> None:
        for one in spent.values():
            one.look()

    async with contextlib.AsyncExitStack() as left:
        for client in clients:
            await left.enter_async_context(client)
        gone = int(await asyncio.to_thread(bed.number, "SELECT count(*) FROM tenants WHERE status = 'deleted'"))
        spent = {member.machine.name: Spent(member.machine.processes) for member in bed.members}
        accepted = await at_once([lambda name=name: create(name) for name in names])
        await until(count, "ready")
        look()
        cpu = {name: one.by_kind() for name, one in spent.items()}
        span = "max(ended_at) - min(created_at)"
        seconds = bed.number(
            f"SELECT extract(epoch FROM {span}) FROM executions WHERE tenant_id IN"
            " (SELECT id FROM tenants WHERE deleted_at IS NULL)"
        )
        await at_once([lambda name=name: delete(name) for name in names])
        await until(gone + count, "deleted")
    return {"accepted": accepted, "ready": seconds, "cpu": cpu}


def lines(of: str, rate: float, found: dict[str, Any], of_one: float | None) -> list[dict[str, Any]]:
    """`rate`: tenants a second, and on one machine `of_one`."""
    floor = {} if of_one is None else {"floor_per_second": round(of_one, 3)}
    return [
        {"metric": of, "unit": "1/s", "per_second": round(rate, 3), **floor},
        *({"metric": f"{of}, {name}", "unit": "s", "seconds": round(found[name], 2)} for name in ("accepted", "ready")),
        *(
            {"metric": of, "machine": machine, "kind": kind, "unit": "s", "cpu_seconds": round(seconds, 2)}
            for machine, by_kind in found["cpu"].items()
            for kind, seconds in {"all": sum(by_kind.values()), **by_kind}.items()
            if seconds >= 0.1
        ),
    ]


@contextlib.contextmanager
def bed(bound: float) -> Iterator[Bed]:
    """Postgres runs, and no machine yet."""
    with ExitStack() as left:
        directory = left.enter_context(home())
        network = left.enter_context(running_network(directory))
        shared = network.machine("database")
        server = left.enter_context(running_postgres(shared))
        unbound = left.enter_context(cores("unbound"))
        unbound.take(lambda: [psutil.Process(), *shared.processes()])
        yield Bed(network, server, left, bound)


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--tenants", type=int, default=120)
    arguments.add_argument("--machines", type=int, default=3, help="the most")
    arguments.add_argument("--cores", type=float, default=0.4, help="of each machine")
    arguments.add_argument("--rounds", type=int, default=1, help="bursts at each size; the best counts")
    options = arguments.parse_args(words)
    of_one: float | None = None
    with bed(options.cores) as there:
        for machines in range(1, options.machines + 1):
            there.grow()
            rounds = [asyncio.run(burst(there, options.tenants)) for _ in range(options.rounds)]
            best = min(rounds, key=lambda found: float(found["ready"]))
            rate = options.tenants / best["ready"]
            # One after the other, so that the first is kept if the second fails.
            write("machines", lines(f"{options.tenants} tenants, machines={machines}", rate, best, of_one))
            of_one = of_one or rate
    return 0


if __name__ == "__main__":
    sys.exit(main())
