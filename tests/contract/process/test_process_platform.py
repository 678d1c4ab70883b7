"""The platform that a home's processes are, and the address at which they are reached."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from controlplane.settings import Settings
from controlplane.steps.probe import HealthProber
from providers.compute.process import provider as process_module
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import desire
from tests.contract.process.bench import OPEN, OWNER, PYTHON, UIDS, healthy

LISTEN = "import http.server, sys; http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), http.server.\
SimpleHTTPRequestHandler).serve_forever()"


async def identity(root: Path) -> str:
    provider = ProcessCompute(root, uids=UIDS)
    try:
        return await provider.identity()
    finally:
        await provider.close()


async def test_each_home_of_a_machine_is_a_platform_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = set(await asyncio.gather(*(identity(root) for _ in range(8))))
    assert at_once == {await identity(root)}
    another = await identity(root.parent / "another")
    assert another not in at_once
    monkeypatch.setattr(process_module, "_machine_id", lambda: "another machine, with a copy of the home")
    assert await identity(root) not in at_once | {another}


@pytest.fixture
def used(root: Path) -> Path:
    """As each release leaves it after its first tenant."""
    root.mkdir()
    (root / ".lock").touch()
    return root


async def test_a_home_that_had_tenants_before_is_the_platform_that_their_placements_name(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "_machine_id", lambda: "0" * 32)
    assert await identity(used) == await identity(used) == "55d38510d94c0383d4a5656acad9200a"


async def test_a_tenant_is_reached_at_the_address_of_its_machine(root: Path, prober: HealthProber) -> None:
    provider = ProcessCompute(root, uids=UIDS, address="127.0.0.2")
    config = {"command": [PYTHON, "-I", "-S", "-c", LISTEN, "{address}", "{port}"], "env": {"AT": "{address}:{port}"}}
    resource = await provider.apply(desire(OWNER, config), OPEN)
    try:
        (endpoint,) = resource.endpoints
        assert endpoint.url == f"http://127.0.0.2:{endpoint.port}"
        await healthy(prober, provider, resource)
        # One that was made before the machine had this address stays where it listens.
        later = ProcessCompute(root, uids=UIDS, address="10.0.0.2")
        seen = await later.inspect(resource.id)
        await later.close()
        assert seen is not None
        assert seen.endpoints == resource.endpoints
    finally:
        await provider.destroy(resource.id)
        await provider.close()


async def test_the_address_is_that_of_the_settings(tmp_path: Path) -> None:
    url = SecretStr("postgresql://db/landlord")
    joined = Settings(home=tmp_path, node_address="10.0.0.2", database_url=url, process_unsafe=True)
    for settings, address in ((joined, "10.0.0.2"), (Settings(home=tmp_path, process_unsafe=True), "127.0.0.1")):
        provider = ProcessCompute.build(settings)
        assert provider.address == address
        await provider.close()
