"""Uids for tenants: one each, nobody else's on this machine, and none again while anything of its tenant is left.

What keeps a uid is a directory of that name in AREA, which comes and goes by one rename: it is unique over all homes
of this machine, survives restarts, and holds the directories in which the tenant's commands start.
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

from controlplane.errors import NotAvailableYet, SettingsError
from providers.compute.process.files import Locked
from providers.compute.process.machine import anybody, processes_of

AREA = Path("/var/lib/landlord-work")
SETTING = "LANDLORD_PROCESS_UIDS"
AUTO = "auto"
BLOCK = 65536
CANDIDATES = [*(range(first, first + BLOCK) for first in range(7 * BLOCK, 2 * BLOCK, -BLOCK)), range(50000, 60000)]
"""From the highest block that neither distributions nor systemd give a meaning to, downwards: subordinate ids begin
at 100000 and grow. The last one is for containers, in which no more than 65536 ids may exist."""
RESERVED = (65534, 65535, 2**32 - 1)
"""Mean nobody, or no uid at all."""
OWNER = "home"
"""The file in a claim that names the directory of the provider that has it."""
REMOVE_SECONDS = 60.0


def uid_range(setting: str) -> range:
    """Raises SettingsError: the range holds an account of this machine, or ids that do not exist here; for `auto`: none
    is free."""
    if setting == AUTO:
        found = next((ids for ids in CANDIDATES if _exist(ids) and not _accounts(ids) and not _subordinate(ids)), None)
        if found is None:
            raise SettingsError(f"{SETTING}: this machine has no free range of ids; name one, or disable `process`")
        return found
    first, last = (int(word) for word in setting.split("-"))
    ids = range(first, last + 1)
    if first < 1 or not ids or any(number in ids for number in RESERVED):
        raise SettingsError(f"{SETTING}: {setting} is not FIRST-LAST, with ids above 0 that mean somebody")
    if not _exist(ids):
        raise SettingsError(f"{SETTING}: not all of {setting} exist here (a user namespace has fewer ids)")
    if accounts := _accounts(ids):
        raise SettingsError(f"{SETTING}: {setting} holds {accounts[0]}, an account of this machine")
    return ids


@dataclass(frozen=True)
class Uids:
    """Claims of uids from `ids`. Blocking; as root. Raises OSError."""

    ids: range
    area: Path = AREA

    def claim(self, owner: Path) -> int:
        """One more for the provider whose directory is `owner`. Raises NotAvailableYet: none is free."""
        self.area.mkdir(mode=0o711, parents=True, exist_ok=True)
        with Locked(f"{self.area}/.lock"):
            start = self._next()
            for offset in range(len(self.ids)):
                uid = self.ids[(start + offset) % len(self.ids)]
                if not (self.area / str(uid)).exists() and not anybody(uid) and not _accounts(range(uid, uid + 1)):
                    self._make(uid, owner)
                    return uid
        raise NotAvailableYet(f"every id of {SETTING} ({self.ids[0]}-{self.ids[-1]}) is somebody's")

    def work(self, uid: int, name: str) -> Path:
        """Where one version of the tenant is to start; `make_work` makes it."""
        return self.area / str(uid) / f"{name}-{uuid4().hex[:8]}"

    def make_work(self, uid: int, work: Path) -> None:
        """An empty directory of the tenant's, which no other tenant can reach."""
        work.mkdir(mode=0o700)
        os.chown(work, uid, uid)

    def holds(self, work: Path) -> bool:
        """It is a directory in which a command starts, of this release or of an older one."""
        return self.area in work.parents and not (work.parent == self.area and work.name.isdigit())

    def claims(self, owner: Path) -> set[int]:
        with suppress(FileNotFoundError):
            names = [path.name for path in self.area.iterdir() if path.name.isdigit()]
            return {int(name) for name in names if self._owner(name) == str(owner.resolve())}
        return set()

    def unused(self, uid: int) -> bool:
        """It is claimed, and no version of its tenant has a directory there."""
        try:
            return [path.name for path in (self.area / str(uid)).iterdir()] == [OWNER]
        except FileNotFoundError:
            return False

    def release(self, uid: int) -> None:
        """Others may have it, unless something still runs with it: then it stays claimed. Its files go by `clear`."""
        if not anybody(uid) or not processes_of(uid):
            with suppress(FileNotFoundError):
                (self.area / str(uid)).rename(self.area / f".gone-{uuid4().hex}")

    def clear(self) -> None:
        """Remove what released claims held. It may take long, so under no lock."""
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
        """Where to look first: after the last one that was given away, so that one comes back as late as can be."""
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
    """Whatever a tenant has put there: as deep as it likes, and as much; what takes longer than a minute is left for
    the next time. Follows no link."""
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
    """They are mapped into our user namespace, users and groups."""
    return all(
        any(first <= ids[0] and ids[-1] < first + count for first, count in _extents(Path(path)))
        for path in ("/proc/self/uid_map", "/proc/self/gid_map")
    )


def _extents(path: Path) -> list[tuple[int, int]]:
    lines = (line.split() for line in path.read_text().splitlines())
    return [(int(first), int(count)) for first, _, count in lines]


def _accounts(ids: range) -> list[str]:
    """Names of users and groups with one of these ids. One id alone is asked for by number: not every directory of
    users tells all of them."""
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
    """Some of them are given to users for their containers."""
    for path in ("/etc/subuid", "/etc/subgid"):
        with suppress(FileNotFoundError):
            for line in Path(path).read_text().splitlines():
                matched = re.fullmatch(r"[^:]+:(\d+):(\d+)", line.strip())
                if matched is not None:
                    first, count = int(matched[1]), int(matched[2])
                    if first <= ids[-1] and ids[0] < first + count:
                        return True
    return False
