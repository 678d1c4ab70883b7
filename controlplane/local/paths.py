"""Paths on this machine: the home that a person chose, and the short runtime directory that belongs to it.

Unix sockets live in the runtime directory because the kernel limits their paths (107 bytes), and a home may be
anywhere.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import SettingsError

LONGEST_RAY_DIRECTORY = 38
"""Ray appends up to 66 bytes (`/t/session_<time>_<pid>/sockets/plasma_store`) and must stay under 107."""


TRUSTED = (
    "config.yaml",
    "home-id",
    "token",
    "token.header",
    "tls.pem",
    "ray-token",
    "nodes",
    "secrets",
    "logs",
    "ray",
    "processes",
)
"""Paths in a home that we trust, or write to with all our rights."""

MACHINE_ID = Path("/etc/machine-id")
"""The machine's own id, which a container may not have."""


@dataclass(frozen=True)
class Home:
    """Paths of one installation. Nothing is made until `ensure`; no existing directory changes its mode."""

    root: Path

    @property
    def id(self) -> str:
        """8 hex digits of the home's real path. They distinguish this home's processes and sockets from another's."""
        return hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:8]

    @property
    def identity(self) -> str:
        """Names this home among all that share a database: its path, and a hash of the mark in it and of the machine's
        id. A path alone is the same on many machines, and a copied home has the same mark. `ensure` makes the mark.

        A home that moved to another machine is another one: the leases of its earlier cluster expire by themselves."""
        machine = MACHINE_ID.read_text().strip() if MACHINE_ID.exists() else ""
        mark = self.mark.read_text().strip()
        told = hashlib.sha256(f"landlord home {self.root} {mark} {machine}".encode()).hexdigest()[:12]
        return f"{self.root}@{told}"

    @property
    def mark(self) -> Path:
        """A random word, made at the first start."""
        return self.root / "home-id"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def token_header(self) -> Path:
        """The token as a header for `curl -H @…`: an argument would be visible in `ps`."""
        return self.root / "token.header"

    @property
    def tls(self) -> Path:
        """Certificate, chain and key in one file, for HAProxy."""
        return self.root / "tls.pem"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """The file that records, as JSON, what the last `up` started."""
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        """Held by `up` and `down` while they work."""
        return self.root / "lock"

    @property
    def ray_token(self) -> Path:
        """The token between the processes of the Ray cluster. No client of Landlord needs it."""
        return self.root / "ray-token"

    @property
    def nodes(self) -> Path:
        """The certificates of this machine among the nodes of its cluster (see `authority`)."""
        return self.root / "nodes"

    @property
    def runtime(self) -> Path:
        """`/run/landlord/<id>` for root, else `/tmp/landlord-<uid>/<id>`.

        Not `$XDG_RUNTIME_DIR`: it differs between a login and a timer of the same user, and disappears when the login
        ends.
        """
        base = Path("/run/landlord") if os.geteuid() == 0 else Path("/tmp") / f"landlord-{os.geteuid()}"
        return base / self.id

    @property
    def front(self) -> Path:
        """The instructions for each HAProxy that starts (see `haproxy.Front`)."""
        return self.runtime / "front.json"

    @property
    def sockets(self) -> Path:
        """The directory of Postgres's sockets."""
        return self.runtime / "pg"

    @property
    def ray(self) -> Path:
        """The working directory of Ray's processes. It is in the home if its path is short enough."""
        inside = self.root / "ray"
        return inside if len(os.fsencode(inside)) <= LONGEST_RAY_DIRECTORY else self.runtime / "ray"

    @property
    def ray_sessions(self) -> Path:
        """Ray's --temp-dir: sessions, their logs and sockets. Ray opens it to everybody, so it is inside `ray`."""
        return self.ray / "t"

    def ensure(self) -> None:
        """Make the missing directories, 0700 each. Raises SettingsError if that fails, or if another account may write
        to the home: it could put its own token, settings or secrets there."""
        private_directory(self.root)
        for path in (self.root, self.root.resolve(), *(self.root / name for name in TRUSTED)):
            _refuse_strangers(path)
        for directory in (self.logs, self.runtime.parent, self.runtime, self.ray):
            private_directory(directory)
        if not self.mark.exists():
            write_private(self.mark, f"{secrets.token_hex(16)}\n")
        if self.runtime.parent.is_symlink() or self.runtime.parent.stat().st_uid != os.geteuid():
            raise SettingsError(f"LANDLORD_HOME: {self.runtime.parent} belongs to another user")

    def clear_runtime(self) -> None:
        """Remove the runtime directory once nothing runs, except Ray's logs if they had to be in it."""
        for path in self.runtime.glob("*"):
            if path == self.ray:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.runtime.rmdir()


def _refuse_strangers(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"LANDLORD_HOME: {path} belongs to another user (uid {found.st_uid}), who could change it")
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(f"LANDLORD_HOME: others may write to {path}; `chmod go-w {path}` closes it")


def private_directory(path: Path) -> None:
    """Make `path` (0700) unless it exists; missing parents get the ordinary mode.

    Raises SettingsError if it cannot be made, is no directory, or belongs to another user (`/tmp` is shared).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise SettingsError(f"LANDLORD_HOME: {path} cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or os.geteuid() not in (0, found.st_uid):
        raise SettingsError(f"LANDLORD_HOME: {path} belongs to another user (uid {found.st_uid})")


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file of mode 0600 that holds `text`, atomically: a reader sees the old text or the new."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def end_of(log: Path, lines: int = 6) -> str:
    """The last lines of a log as one line."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join(line.strip() for line in text[-lines:] if line.strip()) or "it wrote nothing"
