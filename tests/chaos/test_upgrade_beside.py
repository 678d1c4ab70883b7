"""The sequence of docs/operations.md that upgrades without a pause, word for word, under load: a second cluster of
another build on the same database takes over while the first one drains."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import docker
import httpx
import pytest
import pytest_asyncio

from controlplane.local import account
from tests.chaos.invariants import check
from tests.chaos.load import Client, acknowledged, delete_all, load_on
from tests.e2e.blocks import blocks
from tests.e2e.checkout import Checkout
from tests.e2e.installation import LANDLORD, Installation, free_port
from tests.pages import DOCS

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(900)]

TENANTS = 4
SECONDS = 5.0
"""Load before the first command, and after the last one."""
SWITCH = "# Both work now"


@dataclass
class Front:
    """The proxy before both: requests go where `to` says. `lost`: those that nobody answered."""

    to: httpx.AsyncClient
    lost: list[str] = field(default_factory=list)

    def __getattr__(self, method: str) -> Any:
        async def sent(*words: Any, **more: Any) -> httpx.Response:
            to = self.to
            try:
                answer: httpx.Response = await getattr(to, method)(*words, **more)
            except httpx.TransportError as error:
                self.lost.append(f"{method} {words} to {to.base_url}: {error!r}")
                raise
            if "json" not in answer.headers.get("content-type", ""):
                self.lost.append(f"{method} {words} to {to.base_url}: {answer.status_code} {answer.text[:100]}")
            return answer

        return sent


@dataclass
class Beside:
    """`script`: the commands, in two parts: before and after clients go to the new one."""

    old: Installation
    new: Installation
    script: tuple[str, str]


@pytest_asyncio.fixture
async def beside(database_url: str, docker_engine: docker.DockerClient) -> AsyncIterator[Beside]:
    root = Path(tempfile.mkdtemp(prefix="ll-up-"))
    settings = {
        "LANDLORD_DATABASE_URL": database_url,
        "LANDLORD_ADMIN_TOKEN": token_hex(32),
        "LANDLORD_COMPUTE_PROVIDERS": "docker",
    }
    old, new = (Installation(root / name, free_port(), **settings) for name in ("h1", "h2"))
    checkout = Checkout(root / "next")
    checkout.change()
    new.runs_from(checkout)
    for name, command in (("old", LANDLORD), ("new", new.command)):
        (root / name).mkdir()
        (root / name / ".venv").symlink_to(Path(command).parents[1])
    page = next(one for one in blocks() if one.page == DOCS / "operations.md" and one.text.startswith("old="))
    text = "\n".join(line for line in page.text.splitlines() if not line.startswith("export"))
    for word, instead in (
        ("/opt/landlord-2", root / "new"),
        ("/opt/landlord", root / "old"),
        ("/var/lib/landlord-2", new.home),
        ("/var/lib/landlord", old.home),
        ("/backups", root),
        ("8100", new.port),
    ):
        assert word in text
        text = text.replace(word, str(instead))
    where, _, rest = text.partition("\n")
    before, _, after = rest.partition(SWITCH)
    for one in (old, new):
        one.failpoints.mkdir(parents=True)
    await asyncio.to_thread(old.up)
    yield Beside(old, new, (f"{where}\n{before}", f"{where}\n{SWITCH}{after}"))
    for one in (old, new):
        await asyncio.to_thread(one.down)
    shutil.rmtree(root, ignore_errors=True)


async def shell(script: str, old: Installation) -> str:
    """In the environment of the old one, without its home, which the script says."""
    environ = {
        name: value for name, value in old.environ.items() if name not in ("LANDLORD_HOME", "LANDLORD_FAILPOINTS")
    }
    environ["LANDLORD_PORT"] = str(old.port)
    # The server's own package of clients, which a backup asks for.
    environ["PATH"] = f"{Path(account.client('pg_dump')[0]).parent}:{environ['PATH']}"
    run = await asyncio.create_subprocess_exec(
        *("bash", "-euxc", script),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    assert run.returncode == 0, said.decode()
    return said.decode()


async def test_no_request_is_lost_while_a_second_cluster_takes_over(beside: Beside, web_image: str) -> None:
    old, new = beside.old, beside.new
    async with old.http() as there, new.http(old.token) as here:
        front = Front(there)
        ours = f"up-{token_hex(3)}"
        clients = [
            Client(f"{ours}-{number}", "docker", web_image, random.Random(number), front)  # type: ignore[arg-type]
            for number in range(TENANTS)
        ]
        seen = [0]
        async with load_on(clients):
            await asyncio.sleep(SECONDS)
            seen.append(acknowledged(clients))
            await shell(beside.script[0], old)
            front.to = here
            seen.append(acknowledged(clients))
            assert "Drained: no tenant has an actor here" in await shell(beside.script[1], old)
            seen.append(acknowledged(clients))
            await asyncio.sleep(SECONDS)
        seen.append(acknowledged(clients))
        assert front.lost == []
        assert sorted(set(seen)) == seen, f"acknowledged after each part: {seen}"
        await check(clients, here)
        await delete_all(clients)
        await check(clients, here)
    print(f"acknowledged after each part: {seen}")
