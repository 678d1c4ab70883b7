"""The command lines that the pages show in blocks are run: here, word for word but for addresses and names, or by the
test or the target of make that `ELSEWHERE` names (unit/test_docs_blocks.py)."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest

from tests.e2e.blocks import Block, blocks
from tests.e2e.checkout import Checkout
from tests.e2e.installation import Installation, free_port, gone, ready, until
from tests.engines import build_image_of_that_name
from tests.pages import DOCS, ROOT

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(600)]

PROGRAMS = str(Path(sys.executable).parent)
SECONDS = 300


def shell(script: str, environ: dict[str, str], directory: Path) -> str:
    """What it says on both streams; fails with it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environ,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def installed(installation: Installation) -> dict[str, str]:
    """With `landlord` on its PATH."""
    return installation.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


def block(page: Path, begins: str) -> Block:
    return next(one for one in blocks() if one.page == page and one.text.startswith(begins))


async def test_blocks_for_an_operator(installation: Installation, tmp_path: Path) -> None:
    """On a control plane that runs, with a tenant, and requests in its log."""
    async with installation.http() as client:
        spec = {"compute": {"provider": "fake", "config": {}}}
        made = await client.post("/tenants", json={"name": "of-pages", "spec": spec})
        await until(client, "of-pages", lambda tenant: tenant["status"] == "ready")
        await client.get("/tenants/of-pages/logs")
    async with installation.http(token="nobody-has-this-token") as stranger:
        await stranger.get("/tenants")
    request_id = made.headers["X-Request-Id"]

    def run(page: str, begins: str, **words: str) -> str:
        script = block(DOCS / page, begins).text.replace(":8000", f":{installation.port}")
        for word, instead in words.items():
            script = re.sub(rf"\b{word}\b", instead, script)
        return shell(script, installed(installation), tmp_path)

    assert '"of-pages"' in run("runbooks.md", "curl -X POST", NAME="of-pages")
    assert request_id in run("runbooks.md", "grep -h ID", ID=request_id)
    told = run("security.md", "jq -c")
    assert "refused" in told
    assert "/logs" in told
    (tmp_path / "heads").write_text(head(installation))
    assert "as it was written" in run("security.md", "landlord events verify")
    assert len((tmp_path / "heads").read_text().split()) == 2
    run("operations.md", "landlord backup", backups=f"{tmp_path}".strip("/"))
    assert (tmp_path / "landlord-monday.tar").stat().st_size > 10_000


async def test_the_quick_start_over_http(installation: Installation, docker_engine: docker.DockerClient) -> None:
    image = build_image_of_that_name(docker_engine, "nginx:1", 80)
    script = block(ROOT / "README.md", "home=${LANDLORD_HOME").text.replace(":8000", f":{installation.port}")
    told = shell(script, installation.environ, ROOT)
    assert '"workflow_execution_id":"tenant-acme-provision-1-' in told, told
    async with installation.http() as client:
        tenant = await ready(client, "acme")
        (endpoint,) = tenant["observed"]["endpoints"]
        async with httpx.AsyncClient(trust_env=False) as browser:
            assert (await browser.get(endpoint["url"])).is_success
        await client.delete("/tenants/acme")
        await gone(client, "acme")
    docker_engine.images.remove(image)


@pytest.fixture
def newcomer() -> Iterator[tuple[Path, dict[str, str]]]:
    """A checkout in which `make` has installed what it needs, and the environment of one who has nothing else. What the
    suite has on its PATH is no part of that: a tenant's account may not run its Python."""
    with tempfile.TemporaryDirectory(prefix="ll-qs-") as there:
        directory = Checkout(Path(there) / "c").as_made()
        path = [one for one in os.environ["PATH"].split(":") if one != PROGRAMS]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LANDLORD_")} | {
            "LANDLORD_HOME": f"{there}/h",
            "LANDLORD_PORT": str(free_port()),
            "XDG_CONFIG_HOME": f"{there}/config",
            "PATH": ":".join(path),
        }
        yield directory, environ
        subprocess.run([directory / ".venv/bin/landlord", "down", "--purge"], env=environ, check=False, timeout=SECONDS)


def test_the_quick_start(newcomer: tuple[Path, dict[str, str]]) -> None:
    """What `make run` installs at first is all that it does besides; `make test` has installed the same."""
    directory, environ = newcomer
    told = shell(block(ROOT / "README.md", "make run").text, environ, directory)
    assert "Hello from the tenant demo" in told
    told = shell(block(ROOT / "README.md", ". .venv/bin/activate").text, environ, directory)
    assert "tenant-demo-update-2-" in told
    assert "demo: deleted after" in told


def head(installation: Installation) -> str:
    """The newest event and its hash, as one notes them."""
    return installation.run("events", "verify").stdout.split("head ")[1].strip() + "\n"
