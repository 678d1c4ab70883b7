"""Ports without races, and what two versions of a tenant cannot share."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import NotCurrent
from controlplane.steps.probe import HealthProber
from providers.compute.process.files import read_json
from providers.compute.process.ports import PORTS, hold_port
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import Gate, desire
from tests.contract.process.bench import OPEN, OWNER, PYTHON, UIDS, WEB, healthy, stopped, written


async def test_20_tenants_at_once_have_20_ports(provider: ProcessCompute, root: Path) -> None:
    another = ProcessCompute(root, uids=UIDS)
    made = await asyncio.gather(
        *(
            one.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
            for one in (provider, another)
            for _ in range(10)
        )
    )
    ports = {endpoint.port for resource in made for endpoint in resource.endpoints}
    assert len(ports) == 20
    assert all(port in PORTS for port in ports)
    await another.close()


async def test_a_stopped_tenant_keeps_its_port_unless_a_stranger_takes_it(
    provider: ProcessCompute, prober: HealthProber
) -> None:
    desired = desire(OWNER, WEB)
    resource = await provider.apply(desired, OPEN)
    await provider.stop(resource.id)
    again = await provider.apply(desired, OPEN)
    assert again.endpoints == resource.endpoints
    await provider.stop(resource.id)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", resource.endpoints[0].port))
        stranger.listen()
        moved = await provider.apply(desired, OPEN)
        assert moved.id == resource.id
        assert moved.endpoints != resource.endpoints
        await healthy(prober, provider, moved)


async def test_a_port_that_another_home_is_about_to_use_is_let_be(
    provider: ProcessCompute, root: Path, prober: HealthProber
) -> None:
    """Its command does not listen yet, so that the port looks free."""
    with pytest.raises(NotCurrent):
        await provider.apply(desired := desire(OWNER, WEB), Gate(True, False))
    state = read_json(str(root / desired.origin.name / "state.json"))
    assert state is not None
    of_another_home = hold_port(state["port"])
    assert of_another_home is not None
    with of_another_home:
        resource = await provider.apply(desired, OPEN)
        assert resource.endpoints[0].port != state["port"]
        await healthy(prober, provider, resource)
        assert hold_port(resource.endpoints[0].port or 0) is None, "its keeper holds it"
    await provider.stop(resource.id)
    now_free = hold_port(resource.endpoints[0].port or 0)
    assert now_free is not None
    now_free.close()


LISTEN = "import socket, sys, time; s = socket.socket(); s.bind(('', int(sys.argv[1]))); print('mine'); time.sleep(60)"
LOCK = (
    "from fcntl import *; import time; f = open('l', 'w'); flock(f, LOCK_EX | LOCK_NB); print('mine'); time.sleep(60)"
)


@pytest.mark.parametrize("what", ["port", "workdir"])
async def test_what_two_versions_would_fight_over_has_them_run_one_after_the_other(
    provider: ProcessCompute, workdir: Path, what: str
) -> None:
    """A port of the command's own choice; a directory that is named. Side by side the second one fails, which is what
    `exclusive` is for."""
    python = [PYTHON, "-I", "-S", "-u", "-c"]
    config = {
        "port": {"command": [*python, LISTEN, str(free_port())]},
        "workdir": {"command": [*python, LOCK, "{port}"], "workdir": str(workdir)},
    }[what]
    assert provider.exclusive(config, config)
    older = desire(OWNER, config)
    newer = desire(OWNER, config, tenant_id=older.origin.tenant_id, generation=2)
    first = await provider.apply(older, OPEN)
    await written(provider, first, "mine")
    second = await provider.apply(newer, OPEN)
    assert (await stopped(provider, second)).detail.startswith("the process exited with code 1")
    await provider.stop(first.id)
    again = await provider.apply(newer, OPEN)
    assert again.id == second.id
    await written(provider, again, "mine")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("before", "after", "exclusive"),
    [
        ({}, {}, False),
        ({"workdir": "/srv/a"}, {"workdir": "/srv/a/"}, True),
        ({"workdir": "/srv/a"}, {"workdir": "/srv/b"}, False),
        ({"workdir": "/srv/a"}, {}, False),
        ({"command": ["serve", "8080"]}, {"command": ["serve", "8081"]}, True),
        ({"command": ["serve", "8080"]}, {}, False),
        ({}, {"command": ["serve"], "env": {"PORT": "{port}"}}, False),
        ({"of": "another release"}, {}, True),
    ],
)
def test_what_excludes_what(root: Path, before: dict[str, Any], after: dict[str, Any], exclusive: bool) -> None:
    assert ProcessCompute(root).exclusive({**WEB, **before}, {**WEB, **after}) is exclusive
