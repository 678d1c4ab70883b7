"""Every command line that the pages show in a block is run: here, word for word but for addresses and names, or by the
test or the target of make that `ELSEWHERE` names (tests/unit/test_docs_blocks.py holds the two together)."""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from tests.e2e.blocks import Block, blocks
from tests.e2e.installation import Installation, free_port, until
from tests.pages import DOCS, ROOT

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(600)]

PROGRAMS = str(Path(sys.executable).parent)
SECONDS = 300


def shell(script: str, environ: dict[str, str], directory: Path) -> str:
    """What it says on both streams; fails with it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"},
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
        return shell(script, installation.environ, tmp_path)

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


def head(installation: Installation) -> str:
    """The newest event and its hash, as one notes them."""
    return installation.run("events", "verify").stdout.split("head ")[1].strip() + "\n"


IMAGE = "nginx:1"


@pytest.fixture
def image(docker_engine: docker.DockerClient, web_image: str) -> Iterator[None]:
    """The page's image. Where the engine has none, ours in its place, which serves on the same port."""
    try:
        docker_engine.images.get(IMAGE)
    except ImageNotFound:
        dockerfile = io.BytesIO(f"FROM {web_image}\nENV PORT=80 COLOR=blue\n".encode())
        docker_engine.images.build(fileobj=dockerfile, tag=IMAGE, rm=True)
        yield
        docker_engine.images.remove(IMAGE, force=True)
    else:
        yield


@pytest.fixture
def visitor(image: None) -> Iterator[dict[str, str]]:
    """The environment of somebody who has set no more than a home and a port."""
    home = Path(tempfile.mkdtemp(prefix="ll-qs-"))
    # Of the make that runs the tests.
    outer = ("LANDLORD_", "RAY_", "MAKE", "MFLAGS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    environ |= {"LANDLORD_HOME": f"{home}/home", "LANDLORD_PORT": str(free_port()), "XDG_CONFIG_HOME": f"{home}/config"}
    yield environ
    shell("landlord down --purge || landlord down", environ, ROOT)
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.long
def test_the_quick_start(visitor: dict[str, str]) -> None:
    """Its packages are there already, and what the page says over HTTP comes before what stops everything."""

    def run(begins: str, *instead: tuple[str, str]) -> str:
        script = block(ROOT / "README.md", begins).text
        for words, others in instead:
            assert words in script
            script = script.replace(words, others)
        return shell(script, visitor, ROOT)

    assert "Hello from the tenant demo" in run("make run", ("make", "make -o .venv/installed"))
    answer = run("home=${LANDLORD_HOME", (":8000", f":{visitor['LANDLORD_PORT']}"))
    assert '"tenant-acme-provision-1-' in answer
    shell("landlord tenant wait acme && landlord tenant delete acme --wait", visitor, ROOT)
    said = run(". .venv/bin/activate")
    assert "tenant-demo-update-2-" in said
    assert said.rstrip().endswith("Landlord is down")
