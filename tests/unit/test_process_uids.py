"""Which ids tenants get: none that means somebody on this machine."""

import pwd
from collections import namedtuple
from pathlib import Path

import pytest

from controlplane.errors import SettingsError
from providers.compute.process import uids

User = namedtuple("User", "pw_name pw_uid pw_gid")
Group = namedtuple("Group", "gr_name gr_gid")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """With all ids, two accounts, and subordinate ids of nobody."""
    monkeypatch.setattr(uids, "_extents", lambda path: [(0, 2**32 - 1)])
    monkeypatch.setattr(uids, "_subordinate", lambda ids: False)
    monkeypatch.setattr(uids.pwd, "getpwall", lambda: [User("root", 0, 0), User("postgres", 101, 104)])
    monkeypatch.setattr(uids.grp, "getgrall", lambda: [Group("people", 300_000)])
    return monkeypatch


def test_the_highest_block_is_taken_that_is_nobodys(machine: pytest.MonkeyPatch) -> None:
    assert uids.uid_range("auto") == range(458752, 524288)
    machine.setattr(uids, "_subordinate", lambda ids: 500_000 in ids)
    assert uids.uid_range("auto") == range(393216, 458752)
    machine.setattr(uids.pwd, "getpwall", lambda: [User("ldap", 400_000, 1)])
    assert uids.uid_range("auto") == range(327680, 393216)


def test_in_a_container_with_few_ids_they_come_from_those(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(uids, "_extents", lambda path: [(0, 1), (1, 65535)])
    assert uids.uid_range("auto") == range(50000, 60000)
    machine.setattr(uids, "_extents", lambda path: [(0, 1)])
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_UIDS: this machine has no free range"):
        uids.uid_range("auto")
    with pytest.raises(SettingsError, match="not all of 200000-200010 exist here"):
        uids.uid_range("200000-200010")


def test_a_range_that_is_given_is_taken(machine: pytest.MonkeyPatch) -> None:
    assert uids.uid_range("200000-265535") == range(200000, 265536)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0-100", "ids above 0"),
        ("200-100", "FIRST-LAST"),
        ("60000-70000", "none of them reserved"),
        ("100-110", "holds postgres, an account"),
        ("299999-300001", "holds people, an account"),
        ("4294967290-4294967295", "none of them reserved"),
    ],
)
def test_a_range_with_somebody_in_it_is_refused(machine: pytest.MonkeyPatch, given: str, why: str) -> None:
    """Above all the account that Postgres runs with, whose database would be the tenant's."""
    with pytest.raises(SettingsError, match=f"LANDLORD_PROCESS_UIDS: .*{why}"):
        uids.uid_range(given)


def test_subordinate_ids_are_read_from_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Somewhere(type(Path())):  # type: ignore[misc]
        def __new__(cls, path: str) -> Path:  # type: ignore[misc]
            return tmp_path / path.rsplit("/", 1)[1]

    monkeypatch.setattr(uids, "Path", Somewhere)
    assert not uids._subordinate(range(458752, 524288))
    (tmp_path / "subgid").write_text("# people\nme:100000:65536\nyou:524287:1\n")
    assert uids._subordinate(range(458752, 524288))
    assert not uids._subordinate(range(393216, 458752))


def test_this_machine_has_some() -> None:
    found = uids.uid_range("auto")
    assert not {entry.pw_uid for entry in pwd.getpwall()} & set(found)
