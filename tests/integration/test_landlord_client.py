"""The client's distribution: it is built, installed alone in an environment of its own, and speaks to a replica."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.integration.api_replica import ADMIN, Api, api_on, served
from tests.integration.test_api_clients import ROOT, ran

SMOKE = ROOT / "tests" / "clients" / "python_smoke.py"


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api, served(api) as api.client:
        await api.beat()
        yield api


async def test_the_distribution_alone_is_enough(api: Api, tmp_path: Path) -> None:
    python = str(tmp_path / "venv" / "bin" / "python")
    uv = str(Path(sys.executable).with_name("uv"))
    here = ("--quiet", "--no-build-isolation", "--python", sys.executable)
    await ran(uv, "build", *here, "-o", "dist", str(ROOT / "landlord_client"), here=tmp_path)
    await ran(uv, "venv", "--quiet", "--python", sys.executable, "venv", here=tmp_path)
    # The versions of the lock, so that no release of somebody else's breaks this test.
    pinned = ("--python", python, "--constraints", str(ROOT / "requirements.lock"), "--find-links", "dist")
    await ran(uv, "pip", "install", "--quiet", *pinned, "landlord-client", here=tmp_path)
    installed = await ran(uv, "pip", "list", "--quiet", "--python", python, "--format", "json", here=tmp_path)
    names = {package["name"] for package in json.loads(installed)}
    assert {"landlord-client", "httpx", "pydantic"} <= names
    assert len(names) < 20, names
    assert not names & {"landlord", "ray", "sqlalchemy", "fastapi", "boto3", "docker"}

    # Isolated, so that the checkout is not on its path.
    told, *_ = await asyncio.gather(
        ran(python, "-I", str(SMOKE), str(api.client.base_url).rstrip("/"), ADMIN, here=tmp_path),
        owner(api, "from-blocking", 1),
        owner(api, "from-async", 2),
    )
    assert json.loads(told) == {
        "blocking": {
            "status": "ready",
            "labels": {"tier": "gold", "team": "blue"},
            "events": ["tenant.created", "execution.succeeded"],
            "code": "tenant_exists",
        },
        "async": {
            "status": "ready",
            "names": ["from-async", "from-blocking"],
            "first": "tenant.created",
            "code": "tenant_not_found",
        },
    }


async def owner(api: Api, name: str, woken: int) -> None:
    """Plays the tenant's actor: the execution ends well."""
    await api.woken(woken)
    await api.end(name)
