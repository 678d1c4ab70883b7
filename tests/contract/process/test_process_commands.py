"""Commands beside a tenant's own: they are the tenant, and end with it."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import LandlordError, Unavailable
from controlplane.ports import Ran, Resource
from providers.compute.process import commands
from providers.compute.process.files import read_json, write_json
from providers.compute.process.machine import look
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.commands import Running
from providers.kit.secrets import Secrets
from tests.contract.process.bench import OPEN, OWNER, PYTHON, UIDS, main_process, written

SECONDS = 30.0
"""Within which a command must have ended on the slowest machine."""
TELL = """
import json, os, resource, signal
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "limits": [resource.getrlimit(getattr(resource, f"RLIMIT_{one}")) for one in ("NPROC", "DATA", "CORE", "NOFILE")],
    "kernel": [status[one].strip() for one in ("NoNewPrivs", "CapEff", "CapPrm", "CapInh", "SigIgn", "Groups")],
    "cgroup": open("/proc/self/cgroup").read().splitlines(),
    "niceness": os.getpriority(os.PRIO_PROCESS, 0),
    "umask": os.umask(0),
    "session": os.getsid(0) == os.getpid(),
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
}), flush=True)
"""
TENANT = TELL + "import time; time.sleep(60)"


def config(script: str = TENANT) -> dict[str, Any]:
    return {
        "command": [PYTHON, "-I", "-S", "-c", script, "{port}"],
        "env": {"PORT": "{port}", "DB": {"secret": "file:db"}},
        "resources": {"memory_mib": 512, "pids": 200},
    }


@pytest.fixture
def secrets(root: Path) -> Secrets:
    (root.parent / "secrets" / "shared").mkdir(parents=True)
    (root.parent / "secrets" / "shared" / "db").write_text(f"{SECRET}\n")
    return Secrets(root.parent / "secrets")


async def test_it_is_what_the_tenants_own_command_is(root: Path, secrets: Secrets) -> None:
    """Account, environment, directory, limits, capabilities, control groups: asked of the kernel by each of the two."""
    provider = ProcessCompute(root, uids=UIDS, secrets=secrets)
    resource = await provider.apply(desire(OWNER, config()), OPEN)
    own = await written(provider, resource, "}\n")
    ran = await provider.run_command(resource.id, [PYTHON, "-I", "-S", "-c", TELL, "{port}"], SECONDS)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.output)
    assert told == json.loads(own)
    assert told["env"]["DB"] == SECRET
    assert told["env"]["PORT"] == str(resource.endpoints[0].port)
    assert await provider.run_command(resource.id, ["echo", "{port}"], SECONDS) == Ran(0, "{port}\n"), "words are words"
    await provider.destroy(resource.id)
    await provider.close()


async def test_what_it_leaves_in_its_session_ends_with_it(provider: ProcessCompute, root: Path) -> None:
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "600"]}), OPEN)
    ran = await provider.run_command(resource.id, ["/bin/sh", "-c", "sleep 600 & echo $!"], SECONDS)
    assert ran.exit_code == 0
    assert await gone(int(ran.output))
    killed = await provider.run_command(resource.id, ["/bin/sh", "-c", "kill -9 $$"], SECONDS)
    assert killed.exit_code == 128 + signal.SIGKILL
    assert main_process(root, resource).is_running()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_it_ends_with_the_tenant_wherever_it_hides(provider: ProcessCompute) -> None:
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "600"]}), OPEN)
    script = "setsid sleep 600 >/dev/null 2>&1 & echo $!"
    pid = int((await provider.run_command(resource.id, ["/bin/sh", "-c", script], SECONDS)).output)
    await provider.stop(resource.id)
    assert await gone(pid)


async def test_beside_what_has_ended_nothing_is_run(provider: ProcessCompute, root: Path) -> None:
    """Also where it ends, or is started anew, after we have looked."""
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "600"]}), OPEN)
    seen = run_of(root, resource)
    witness = root.parent / "witness"
    command = ["/bin/touch", str(witness)]
    root.parent.chmod(0o777)

    def run(launch: str) -> None:
        with pytest.raises(Unavailable, match="was not run"):
            commands.run(root / resource.name, launch, command, {}, Running(SECONDS))

    await asyncio.to_thread(run, "an-earlier-one")
    await provider.stop(resource.id)
    await asyncio.to_thread(run, seen["launch"])
    write_json(str(root / resource.name / "run.json"), {**seen, "pid": os.getpid()})
    await asyncio.to_thread(run, seen["launch"])
    with pytest.raises(LandlordError, match="does not run"):
        await provider.run_command(resource.id, command, SECONDS)
    assert not witness.exists()


def run_of(root: Path, resource: Resource) -> dict[str, Any]:
    run = read_json(str(root / resource.name / "run.json"))
    assert run is not None
    return run


async def gone(pid: int) -> bool:
    """It is gone, or waits for its parent to see that; SIGKILL takes its time on a busy machine."""
    async with asyncio.timeout(SECONDS):
        while True:
            seen = look(pid)
            if seen is None or not seen.alive:
                return True
            await asyncio.sleep(0.02)
