"""Secrets reach the command and no file of ours; each tenant is an account of its own, and no other tenant's."""

import os
import stat
from pathlib import Path
from typing import Any

import psutil
import pytest

from controlplane.errors import InvalidConfig, NotAvailableYet
from controlplane.ports import ResourceState
from providers.compute.process.files import read_json, write_json
from providers.compute.process.provider import ProcessCompute
from providers.compute.process.uids import AREA, Uids, uid_range
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.secrets import Secrets
from tests.contract.process.bench import OPEN, OWNER, UIDS, main_process, shell, stopped, until, written

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


async def test_a_secret_reaches_the_command_and_no_file_of_ours(root: Path) -> None:
    secrets = root.parent / "secrets"
    (secrets / "shared").mkdir(parents=True)
    (secrets / "shared" / "db").write_text(f"{SECRET}\n")
    provider = ProcessCompute(root, uids=UIDS, secrets=Secrets(secrets))
    config = {
        "command": ["/bin/sh", "-c", 'echo "got $DB"; test -e again || { touch again; exit 3; }; sleep 60'],
        "env": {"DB": {"secret": "file:db"}},
    }
    resource = await provider.apply(desire(OWNER, config), OPEN)
    await written(provider, resource, f"got {SECRET}")
    seen = await stopped(provider, resource)
    assert seen.detail == "the process exited with code 3: got ***"

    await provider.start(resource.id)
    await written(provider, resource, f"got {SECRET}\ngot {SECRET}")
    assert not files_with(SECRET, root)
    assert not [word for word in main_process(root, resource).parent().cmdline() if SECRET in word]  # type: ignore[union-attr]

    await provider.stop(resource.id)
    (secrets / "shared" / "db").unlink()
    with pytest.raises(NotAvailableYet, match="file:db"):
        await provider.start(resource.id)
    await provider.destroy(resource.id)
    await provider.close()


def files_with(text: str, root: Path) -> list[Path]:
    """Those of ours: not the logs, which are the command's."""
    ours = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith("log")]
    assert ours
    return [path for path in ours if text in path.read_text()]


def state_of(root: Path, name: str) -> dict[str, Any]:
    state = read_json(str(root / name / "state.json"))
    assert state is not None
    return state


@as_root
async def test_two_tenants_have_two_uids_and_neither_is_ours(provider: ProcessCompute, root: Path) -> None:
    for _ in range(2):
        await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
    processes = [main_process(root, resource) for resource in await provider.list_owned(OWNER)]
    uids = {tuple(process.uids()) for process in processes}
    assert len(uids) == 2
    for process in processes:
        (uid,) = set(process.uids())
        assert uid not in (0, os.geteuid())
        assert set(process.gids()) == {uid}
        status = told(process, "status")
        assert "\nGroups:\t \n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert f"\n{capabilities}:\t{'0' * 16}\n" in status
        (core,) = [line for line in told(process, "limits").splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]


def told(process: psutil.Process, name: str) -> str:
    return Path(f"/proc/{process.pid}/{name}").read_text()


@as_root
async def test_versions_of_one_tenant_share_a_uid_which_goes_with_the_last(
    provider: ProcessCompute, root: Path
) -> None:
    config = shell("id -u; touch mine && ls -la; sleep 60")
    older = desire(OWNER, config)
    first = await provider.apply(older, OPEN)
    second = await provider.apply(desire(OWNER, config, tenant_id=older.origin.tenant_id, generation=2), OPEN)
    uid = int((await written(provider, first, "mine")).split()[0])
    assert int((await written(provider, second, "mine")).split()[0]) == uid
    works = [Path(state_of(root, resource.name)["work"]) for resource in (first, second)]
    assert works[0] != works[1]
    for work in works:
        assert (stat.S_IMODE(work.stat().st_mode), work.stat().st_uid, (work / "mine").exists()) == (0o700, uid, True)
    assert stat.S_IMODE((AREA / str(uid)).stat().st_mode) == 0o710
    await provider.destroy(first.id)
    assert not works[0].exists()
    assert main_process(root, second).is_running()
    assert works[1].exists()
    await provider.destroy(second.id)
    assert not (AREA / str(uid)).exists()


@as_root
async def test_what_is_ours_is_closed_to_them(provider: ProcessCompute, root: Path) -> None:
    root.parent.chmod(0o755)
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
    for path in (root, root / resource.name):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o700, 0)
    assert stat.S_IMODE((root / resource.name / "state.json").stat().st_mode) == 0o600


@as_root
async def test_the_account_comes_before_the_directory(provider: ProcessCompute, tmp_path: Path) -> None:
    """As root the command would start there, and have it as `.` with our rights to pass through what is above."""
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    inner.chmod(0o777)
    inner.parent.chmod(0o700)
    with pytest.raises(InvalidConfig, match=f"cannot start in {inner}: Permission denied"):
        await provider.apply(desire(OWNER, {**shell("touch planted"), "workdir": str(inner)}), OPEN)
    assert not list(inner.iterdir())


@as_root
async def test_one_that_an_older_release_runs_as_us_gets_an_account_with_its_next_start(root: Path) -> None:
    older = ProcessCompute(root)
    desired = desire(OWNER, shell("id -u; sleep 60"))
    before = await older.apply(desired, OPEN)
    await written(older, before, "0\n")
    state = state_of(root, before.name)
    write_json(
        str(root / before.name / "state.json"), {k: v for k, v in state.items() if k not in ("uid", "resources")}
    )
    was = main_process(root, before)
    await older.close()

    provider = ProcessCompute(root, uids=UIDS)
    seen = await provider.inspect(before.id)
    assert seen is not None
    assert seen.state is ResourceState.STOPPED
    assert "control plane's own account" in seen.detail
    after = await provider.apply(desired, OPEN)
    assert (after.id, after.state) == (before.id, ResourceState.RUNNING)
    assert not psutil.pid_exists(was.pid) or was.status() == psutil.STATUS_ZOMBIE
    assert main_process(root, after).uids().real == state_of(root, after.name)["uid"] != 0
    await provider.destroy(after.id)
    await provider.close()


@as_root
async def test_a_uid_comes_back_last_and_never_while_something_of_it_lives(root: Path, tmp_path: Path) -> None:
    ids = uid_range("auto")
    few = Uids(ids[100:103], tmp_path / "area")
    first, second = few.claim(root), few.claim(root)
    assert (first, second) == (ids[100], ids[101])
    few.release(first)
    assert few.claim(root) == ids[102]
    assert few.claims(root) == {second, ids[102]}
    assert few.claims(root.parent) == set()
    alive = psutil.Popen(["/bin/sleep", "60"], user=first, group=first, extra_groups=[])
    with pytest.raises(NotAvailableYet, match="LANDLORD_PROCESS_UIDS"):
        few.claim(root)
    alive.kill()
    alive.wait()
    assert few.claim(root) == first
    few.clear()


async def test_limits_hold(provider: ProcessCompute) -> None:
    script = "python3 -c 'x = bytearray(200 << 20)' 2>&1 | tail -1; sleep 60"
    config = {**shell(script), "resources": {"memory_mib": 64, "cpu_millis": 500}}
    config["env"] = {"PATH": os.defpath}
    resource = await provider.apply(desire(OWNER, config), OPEN)
    logs = await written(provider, resource, "\n")
    assert "MemoryError" in logs or "Killed" in logs


async def test_a_command_that_asks_for_its_output_by_name_gets_it(provider: ProcessCompute) -> None:
    resource = await provider.apply(desire(OWNER, shell("echo by name > /dev/stdout; sleep 60")), OPEN)
    await written(provider, resource, "by name")


async def test_a_log_as_long_as_it_likes_is_read_to_a_bound(provider: ProcessCompute, root: Path) -> None:
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
    with (root / resource.name / "log.1").open("wb") as log:
        log.truncate(1 << 40)
    assert len(await provider.logs(resource.id, 10)) <= 1 << 22


async def test_a_state_without_a_key_hides_nobody_else(provider: ProcessCompute, root: Path) -> None:
    resource = await provider.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
    for number, left_out in enumerate(("id", "labels", "env", "port", "work")):
        state = state_of(root, resource.name)
        del state[left_out]
        path = root / f"other-{number}"
        path.mkdir()
        write_json(str(path / "state.json"), state)
    assert resource.id in [found.id for found in await provider.list_owned(OWNER)]
    for number in range(5):
        (root / f"other-{number}" / "state.json").unlink()
    await until(provider, resource, lambda seen: seen.state is ResourceState.RUNNING)
