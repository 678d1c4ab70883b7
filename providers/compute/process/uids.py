"""Uids of tenants: each tenant has one, which no other account of this machine has. It is not used again while anything
of its tenant is left.

A directory of the same name in AREA claims a uid. It is made and removed by one rename, so the claim holds for all
homes of this machine, and over restarts. In it are the working directories of the tenant's commands.
"""

import grp
import os
import pwd
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from controlplane.errors import NotAvailableYet, SettingsError, WaitsFor
from providers.compute.process.files import Locked
from providers.compute.process.machine import anybody, processes_of

AREA = Path("/var/lib/landlord-work")
SETTING = "LANDLORD_PROCESS_UIDS"
AUTO = "auto"
BLOCK = 65536
CANDIDATES = [*(range(first, first + BLOCK) for first in range(7 * BLOCK, 2 * BLOCK, -BLOCK)), range(50000, 60000)]
"""The blocks of ids without a meaning for distributions and systemd, from the highest down, since subordinate ids grow
upwards from 100000. The last block is for containers, which may have no more than 65536 ids."""
RESERVED = (65534, 65535, 2**32 - 1)
"""Ids of `nobody`, and values that mean no uid at all."""
OWNER = "home"
"""The file in a claim that names its owner: the directory of a provider."""
REMOVE_SECONDS = 60.0


def uid_range(setting: str) -> range:
    """The range of a setting. Raises SettingsError if it contains an account of this machine, or ids that do not exist
    here; for `auto`, if no range is free."""
    if setting == AUTO:
        found = next((ids for ids in CANDIDATES if _exist(ids) and not _accounts(ids) and not _subordinate(ids)), None)
        if found is None:
            raise SettingsError(f"{SETTING}: this machine has no free range of ids; name one, or disable `process`")
        return found
    first, last = (int(word) for word in setting.split("-"))
    ids = range(first, last + 1)
    if first < 1 or not ids or any(number in ids for number in RESERVED):
        raise SettingsError(f"{SETTING}: {setting} is not FIRST-LAST, with ids above 0, none of them reserved")
    if not _exist(ids):
        raise SettingsError(f"{SETTING}: not all of {setting} exist here (a user namespace has fewer ids)")
    if accounts := _accounts(ids):
        raise SettingsError(f"{SETTING}: {setting} holds {accounts[0]}, an account of this machine")
    return ids


@dataclass(frozen=True)
class Uids:
    """Claims of uids from `ids`. Blocks; works as root only. Raises OSError."""

    ids: range
    area: Path = AREA

    def claim(self, owner: Path) -> int:
        """A new uid for the provider whose directory is `owner`. Raises NotAvailableYet if none is free."""
        self.area.mkdir(mode=0o711, parents=True, exist_ok=True)
        with Locked(f"{self.area}/.lock"):
            start = self._next()
            for offset in range(len(self.ids)):
                uid = self.ids[(start + offset) % len(self.ids)]
                if not (self.area / str(uid)).exists() and not anybody(uid) and not _accounts(range(uid, uid + 1)):
                    self._make(uid, owner)
                    return uid
        raise NotAvailableYet(
            f"no id of {SETTING} ({self.ids[0]}-{self.ids[-1]}) is free", waits_for=WaitsFor.QUOTA_EXCEEDED
        )

    def work(self, uid: int, name: str) -> Path:
        """The path of a working directory for one version of the tenant; `make_work` makes it."""
        return self.area / str(uid) / f"{name}-{uuid4().hex[:8]}"

    def make_work(self, uid: int, work: Path) -> None:
        """Make that directory, empty and owned by the tenant. No other tenant can reach it."""
        work.mkdir(mode=0o700)
        os.chown(work, uid, uid)

    def holds(self, work: Path) -> bool:
        """True if it is a working directory here, of this release or of an older one."""
        return self.area in work.parents and not (work.parent == self.area and work.name.isdigit())

    def claims(self, owner: Path) -> set[int]:
        """The uids that the provider with this directory has."""
        with suppress(FileNotFoundError):
            names = [path.name for path in self.area.iterdir() if path.name.isdigit()]
            return {int(name) for name in names if self._owner(name) == str(owner.resolve())}
        return set()

    def unused(self, uid: int) -> bool:
        """True if it is claimed, and no version of its tenant has a working directory in the claim."""
        try:
            return [path.name for path in (self.area / str(uid)).iterdir()] == [OWNER]
        except FileNotFoundError:
            return False

    def release(self, uid: int) -> None:
        """End the claim, unless a process still runs with the uid. `clear` removes its files."""
        if not anybody(uid) or not processes_of(uid):
            with suppress(FileNotFoundError):
                (self.area / str(uid)).rename(self.area / f".gone-{uuid4().hex}")

    def clear(self) -> None:
        """Remove the files of released claims. It may take long, so call it without a lock."""
        for gone in self.area.glob(".gone-*"):
            remove_tree(gone)

    def _make(self, uid: int, owner: Path) -> None:
        draft = self.area / f".new-{uuid4().hex}"
        draft.mkdir(mode=0o700)
        (draft / OWNER).write_text(str(owner.resolve()))
        (draft / OWNER).chmod(0o600)
        os.chown(draft, 0, uid)
        draft.chmod(0o710)
        draft.rename(self.area / str(uid))
        kept = self.area / ".next"
        kept.write_text(str(uid + 1))

    def _next(self) -> int:
        """The index at which the search begins: behind the last uid given away, so that a uid is used again as late as
        possible."""
        try:
            return max(0, int((self.area / ".next").read_text()) - self.ids[0])
        except (FileNotFoundError, ValueError):
            return 0

    def _owner(self, name: str) -> str:
        try:
            return (self.area / name / OWNER).read_text()
        except FileNotFoundError:
            return ""


def remove_tree(path: Path) -> None:
    """Remove a tenant's files, however deep and many they are, without following links. If it takes longer than a
    minute, the next call continues."""
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["rm", "-rf", "--", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=REMOVE_SECONDS,
            check=False,
        )


def _exist(ids: range) -> bool:
    """True if all of them are mapped into our user namespace, as users and as groups."""
    return all(
        any(first <= ids[0] and ids[-1] < first + count for first, count in _extents(Path(path)))
        for path in ("/proc/self/uid_map", "/proc/self/gid_map")
    )


def _extents(path: Path) -> list[tuple[int, int]]:
    lines = (line.split() for line in path.read_text().splitlines())
    return [(int(first), int(count)) for first, _, count in lines]


def _accounts(ids: range) -> list[str]:
    """The names of users and groups with one of these ids. A single id is looked up by number, since not every user
    directory lists all its users."""
    found = []
    if len(ids) == 1:
        with suppress(KeyError):
            found.append(pwd.getpwuid(ids[0]).pw_name)
        with suppress(KeyError):
            found.append(grp.getgrgid(ids[0]).gr_name)
        return found
    found += [user.pw_name for user in pwd.getpwall() if user.pw_uid in ids or user.pw_gid in ids]
    return found + [group.gr_name for group in grp.getgrall() if group.gr_gid in ids]


def _subordinate(ids: range) -> bool:
    """True if some of them are given to users for their containers."""
    for path in ("/etc/subuid", "/etc/subgid"):
        with suppress(FileNotFoundError):
            for line in Path(path).read_text().splitlines():
                matched = re.fullmatch(r"[^:]+:(\d+):(\d+)", line.strip())
                if matched is not None:
                    first, count = int(matched[1]), int(matched[2])
                    if first <= ids[-1] and ids[0] < first + count:
                        return True
    return False
