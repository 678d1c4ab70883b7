"""schemathesis reads the OpenAPI document and asks the API over HTTP whatever it allows, and what it does not.

Every check but one is on (no 5xx, no undocumented status, header or body, no wrong request accepted, no right one
refused, no route without its token); `schemathesis.toml` says what a schema cannot. `use_after_free` wants a 404 right
after a DELETE: here that is a 202, and test_api_model.py follows it to its end.
"""

import asyncio
import random
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from pydantic import BaseModel

from controlplane.api import watch
from controlplane.model import Event
from providers.compute.docker.config import DockerConfig
from tests.fakes import StubPlatform
from tests.integration.api_replica import ADMIN, Api, api_on, served

CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))


class Docker(StubPlatform):
    """Makes nothing, and takes the config that the document's examples have."""

    name: ClassVar[str] = "docker"
    config_model: ClassVar[type[BaseModel]] = DockerConfig


@pytest_asyncio.fixture
async def api(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """With tenants that exist, and watches that end at their first silence: schemathesis reads bodies to their end."""
    endless = watch._events

    async def ending(*arguments: Any) -> AsyncIterator[Event | int]:
        """Until the second number: the first one comes before the last page of what is stored."""
        numbers = 0
        async for event in endless(*arguments):
            yield event
            numbers += isinstance(event, int)
            if numbers == 2:
                return

    monkeypatch.setattr(watch, "_events", ending)
    monkeypatch.setattr(watch, "HEARTBEAT_SECONDS", 0.2)
    # So long are the sweeps that one heartbeat of the supervisor keeps /readyz good.
    async with api_on(database_url, cloud=Docker(), sweep_seconds=3600) as api:
        await api.beat()
        for name in ("one", "two"):
            await api.create(name, spec={"compute": {"provider": "docker", "config": {"image": "web:1"}}})
        await api.end("one")
        yield api


async def run(api: Api, *options: str) -> str:
    """What schemathesis says; fails with it where it has found anything."""
    async with served(api) as client:
        schema = str(client.base_url.join("/v1/openapi.json"))
        process = await asyncio.create_subprocess_exec(
            SCHEMATHESIS,
            f"--config-file={CONFIG}",
            "run",
            schema,
            f"--header=Authorization: Bearer {ADMIN}",
            "--checks=all",
            "--exclude-checks=use_after_free",
            "--no-color",
            "--continue-on-failure",
            "--generation-database=none",
            "--request-timeout=20",
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def test_the_api_keeps_to_its_document(api: Api) -> None:
    output = await run(api, "--max-examples=20", "--seed=1", "--no-shrink")
    assert re.search(r"Operations: +(\d+) selected / \1 total", output), output


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_the_api_keeps_to_its_document_whatever_is_sent(api: Api) -> None:
    seed = random.randrange(2**32)
    await run(api, "--max-examples=150", f"--seed={seed}")
