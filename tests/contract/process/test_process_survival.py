"""A process that is nobody's child: it outlives who made it, and is known again by more than its pid."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controlplane.ports import ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.process.directory import ProcessDirectory
from providers.compute.process.files import read_json, write_json
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import desire
from providers.kit.secrets import Secrets
from tests.contract.process.bench import (
    OPEN,
    OWNER,
    UIDS,
    WEB,
    healthy,
    keeper,
    main_process,
    names,
    shell,
    stopped,
    until,
)


async def test_it_serves_and_knows_nothing_of_us(
    provider: ProcessCompute, root: Path, prober: HealthProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDLORD_INTERNAL_HOME_MARK", "here")
    with tempfile.TemporaryFile() as ours:
        os.set_inheritable(ours.fileno(), True)
        resource = await provider.apply(desire(OWNER, {**WEB, "env": {"COLOR": "blue"}}), OPEN)
        await healthy(prober, provider, resource)
        process = main_process(root, resource)
        assert set(process.environ()) == {"PATH", "HOME", "LANG", "COLOR"}
        # A keeper hides from its own account, which may look only where it is root.
        seen = [process, keeper(root, resource)] if os.geteuid() == 0 else [process]
        for one in seen:
            assert "LANDLORD_INTERNAL_HOME_MARK" not in one.environ()
            assert not [
                name
                for name in os.listdir(f"/proc/{one.pid}/fd")
                if os.stat(ours.fileno()).st_ino == os.stat(f"/proc/{one.pid}/fd/{name}").st_ino
            ]
    assert os.getsid(process.pid) == process.pid
    assert process.cwd() == process.environ()["HOME"] == read_json(str(root / resource.name / "state.json"))["work"]  # type: ignore[index]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may undo niceness")
async def test_it_does_not_inherit_a_workers_niceness(root: Path) -> None:
    """Ray's workers run at nice 15 and as the kernel's first victims."""
    script = f"""
import asyncio, os
from pathlib import Path
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import Gate, desire
from tests.contract.process.bench import UIDS
os.nice(15)
Path("/proc/self/oom_score_adj").write_text("900")
async def main():
    provider = ProcessCompute(Path({str(root)!r}), uids=UIDS)
    await provider.apply(desire({OWNER!r}, {{"command": ["/bin/sleep", "60"]}}), Gate(True))
    await provider.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    provider = ProcessCompute(root, uids=UIDS)
    (resource,) = await provider.list_owned(OWNER)
    process = main_process(root, resource)
    assert process.nice() == 0
    assert oom_score_adj(process) == 0
    await provider.destroy(resource.id)
    await provider.close()


def oom_score_adj(process: psutil.Process) -> int:
    return int(Path(f"/proc/{process.pid}/oom_score_adj").read_text())


async def test_it_outlives_its_creators_kill(root: Path) -> None:
    """A creator that is killed right after apply, with its whole process group."""
    script = f"""
import asyncio, os, signal
from pathlib import Path
from providers.compute.process.provider import ProcessCompute
from providers.conformance.compute_bench import Gate, desire
from tests.contract.process.bench import UIDS
async def main():
    provider = ProcessCompute(Path({str(root)!r}), uids=UIDS)
    await provider.apply(desire({OWNER!r}, {{"command": ["/bin/sleep", "60"]}}), Gate(True))
    os.killpg(0, signal.SIGKILL)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], start_new_session=True, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    provider = ProcessCompute(root, uids=UIDS)
    (resource,) = await provider.list_owned(OWNER)
    assert resource.state is ResourceState.RUNNING
    await provider.destroy(resource.id)
    await provider.close()


async def test_its_keepers_kill_does_not_end_it(provider: ProcessCompute, root: Path, prober: HealthProber) -> None:
    desired = desire(OWNER, WEB)
    resource = await provider.apply(desired, OPEN)
    await healthy(prober, provider, resource)
    process = main_process(root, resource)
    killed = keeper(root, resource)
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    await healthy(prober, provider, resource)
    assert (await provider.apply(desired, OPEN)).id == resource.id
    assert main_process(root, resource) == process
    process.kill()
    seen = await until(provider, resource, lambda seen: seen.state is ResourceState.STOPPED)
    assert "ended unseen" in seen.detail
    assert (await provider.apply(desired, OPEN)).state is ResourceState.RUNNING
    await healthy(prober, provider, resource)


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


async def test_a_recycled_pid_is_not_adopted_and_not_signalled(
    provider: ProcessCompute, root: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    resource = await provider.apply(desire(OWNER, shell("exit 0")), OPEN)
    await stopped(provider, resource)
    path = str(root / resource.name / "run.json")
    run = read_json(path)
    assert run is not None
    write_json(path, {**run, "pid": stranger.pid})
    seen = await provider.inspect(resource.id)
    assert seen is not None
    assert seen.state is ResourceState.STOPPED
    await provider.stop(resource.id)
    await provider.destroy(resource.id)
    assert stranger.poll() is None


async def test_half_a_directory_is_healed(provider: ProcessCompute, root: Path) -> None:
    desired = desire(OWNER, WEB)
    path = root / desired.origin.name
    path.mkdir(parents=True)
    (path / "state.json").write_text('{"id": "half')
    (root / ".new-of-the-killed").mkdir()
    assert await provider.observe(desired.origin) is None
    assert await provider.list_owned(OWNER) == []
    resource = await provider.apply(desired, OPEN)
    assert resource.state is ResourceState.RUNNING
    await provider.destroy(resource.id)
    assert names(root) == [".lock"]


async def test_a_creator_killed_before_the_start(provider: ProcessCompute, root: Path) -> None:
    """Its directory is whole and nothing runs: the next apply starts it under the same id."""
    desired = desire(OWNER, WEB)
    made = ProcessDirectory(root, UIDS, Secrets(root)).create(
        desired.origin, ProcessCompute.config_model.model_validate(WEB)
    )
    left = await provider.observe(desired.origin)
    assert left is not None
    assert (left.id, left.state) == (made, ResourceState.CREATED)
    resource = await provider.apply(desired, OPEN)
    assert (resource.id, resource.state) == (made, ResourceState.RUNNING)
