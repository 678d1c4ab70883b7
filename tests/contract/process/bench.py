"""Commands for the tests of process, and their own eyes in its directory and among the machine's processes."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from controlplane.model import HealthSpec
from controlplane.ports import Resource, ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.process.files import read_json
from providers.compute.process.provider import ProcessCompute
from providers.compute.process.uids import Uids, uid_range
from providers.conformance.compute_bench import Gate

OPEN = Gate(True)
OWNER = "test-process"
SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"well")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
# The interpreter itself, since a wrapper on somebody's PATH would add to the environment; one that any account can run.
PYTHON = os.path.realpath(shutil.which("python3", path=os.defpath) or sys.executable)
UIDS = Uids(uid_range("auto")) if os.geteuid() == 0 else None
"""As `up` has it: tenants have uids of their own where the suite runs as root."""
HOSTILE = Path(__file__).with_name("hostile.py").read_text()
WEB = {"command": [PYTHON, "-I", "-S", "-c", SERVER, "{port}"]}


def shell(script: str, **env: str) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", script], "env": env}


async def until(provider: ProcessCompute, resource: Resource, met: Callable[[Resource], bool]) -> Resource:
    async with asyncio.timeout(20):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if met(seen):
                return seen
            await asyncio.sleep(0.02)


async def stopped(provider: ProcessCompute, resource: Resource) -> Resource:
    return await until(
        provider, resource, lambda seen: seen.state is ResourceState.STOPPED and "unseen" not in seen.detail
    )


async def written(provider: ProcessCompute, resource: Resource, text: str, lines: int = 100) -> str:
    """What it has written, once `text` is in it."""
    async with asyncio.timeout(20):
        while True:
            logs = await provider.logs(resource.id, lines)
            if text in logs:
                return logs
            await asyncio.sleep(0.02)


async def healthy(prober: HealthProber, provider: ProcessCompute, resource: Resource) -> None:
    async with asyncio.timeout(20):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if (await prober.probe(seen, HealthSpec.model_validate({"http": {}}))).healthy:
                return
            await asyncio.sleep(0.02)


def main_process(root: Path, resource: Resource) -> psutil.Process:
    run = read_json(str(root / resource.name / "run.json"))
    assert run is not None
    return psutil.Process(run["pid"])


def keeper(root: Path, resource: Resource) -> psutil.Process:
    parent = main_process(root, resource).parent()
    assert parent is not None
    assert "keeper.py" in " ".join(parent.cmdline())
    return parent


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))
