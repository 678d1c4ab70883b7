"""Control groups as the keeper asks for them, on a hierarchy of ordinary files: what is written where, and what is said
to be enforced. That the kernel then kills is shown on the real one (tests/contract/process)."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from providers.compute.process import cgroups

LIMITS = {"memory_mib": 64, "pids": 100, "cpu_millis": 250}
FILES = {"memory_mib": "memory.max", "pids": "pids.max", "cpu_millis": "cpu.max"}


def hierarchy(root: Path, *offered: str) -> Path:
    """With the group already there, as the kernel would fill it with files."""
    group = root / "landlord" / "acme.1"
    group.mkdir(parents=True)
    for level in (root, root / "landlord"):
        (level / "cgroup.subtree_control").touch()
    for name in ("cgroup.procs", "cgroup.kill", *(FILES[limit] for limit in offered)):
        (group / name).touch()
    return group


def test_limits_are_written_where_the_machine_offers_them(tmp_path: Path) -> None:
    group = hierarchy(tmp_path, "memory_mib", "pids", "cpu_millis")
    (group / "memory.swap.max").touch()
    assert cgroups.make(str(tmp_path), "acme.1", LIMITS) == (str(group), set(LIMITS))
    assert (group / "memory.max").read_text() == str(64 << 20)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "pids.max").read_text() == "100"
    assert (group / "cpu.max").read_text() == "25000 100000"
    for level in (tmp_path, tmp_path / "landlord"):
        # The last one asked for; a file keeps the end of what was written before, the kernel takes each for itself.
        assert (level / "cgroup.subtree_control").read_text().startswith("+cpu")


def test_what_no_controller_enforces_is_said(tmp_path: Path) -> None:
    group = hierarchy(tmp_path, "pids")
    assert cgroups.make(str(tmp_path), "acme.1", LIMITS) == (str(group), {"pids"})
    assert sorted(os.listdir(group)) == ["cgroup.kill", "cgroup.procs", "pids.max"], "no file is made"


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    group = hierarchy(tmp_path, "memory_mib", "pids", "cpu_millis")
    assert cgroups.make(str(tmp_path), "acme.1", {"memory_mib": None, "pids": 7}) == (str(group), {"pids"})


def test_who_is_in_it_and_their_end(tmp_path: Path) -> None:
    group = hierarchy(tmp_path)
    with subprocess.Popen(["/bin/sleep", "60"]) as member:
        cgroups.join(str(group), member.pid)
        assert cgroups.members(str(group)) == {member.pid}
        cgroups.kill(str(group))
        assert member.wait(10) == -signal.SIGKILL, "one that the kernel passes over"
    assert (group / "cgroup.kill").read_text() == "1"
    assert cgroups.members(str(tmp_path / "gone")) == set()
    cgroups.kill(str(tmp_path / "gone"))
    cgroups.remove(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate", "/sys/fs/cgroup"),
        ("41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw", "/sys/fs/cgroup/unified"),
        ("29 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw", ""),
        ("29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup ro", ""),
        ("30 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory", ""),
        ("29 23 0:26 / /a\\040b rw - cgroup2 cgroup2 rw", "/a b"),
        ("31 23 0:28 / /proc rw - proc proc rw", ""),
    ],
)
def test_where_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, found: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/vda rw\n{mounts}\n")
    assert cgroups.hierarchy(str(tmp_path / "mountinfo")) == found
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cgroups.hierarchy(str(tmp_path / "mountinfo")) == ""
