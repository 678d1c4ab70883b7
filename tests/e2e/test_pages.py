"""The command lines that the pages show in blocks are run: here, word for word but for addresses and names, or by the
test or the target of make that `ELSEWHERE` names. `NOT_RUN` says why the rest is not (unit/test_docs_blocks.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.blocks import Block, blocks
from tests.e2e.installation import Installation, until
from tests.pages import DOCS

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
