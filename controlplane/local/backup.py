"""A backup: one file with all rows of one moment, and what the home has besides that cannot be made again.

The file is a tar of `manifest.json`, `database.dump` (as pg_dump writes it) and `home/` (config.yaml, secrets). It
holds secrets, so it has mode 0600. Tokens of clients are in the rows, as hashes; the admin token's file is not in it.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from controlplane.errors import SettingsError, Unavailable
from controlplane.local.account import client, minimal_environment
from controlplane.local.paths import Home

FORMAT = 1
MANIFEST = "manifest.json"
DUMP = "database.dump"
OF_HOME = ("config.yaml", "secrets")
LARGEST_MANIFEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `rows_readable_by`: the smallest number of rows whose releases can read it
    (`persistence.compatibility`). `at`: the database's time, ISO 8601."""

    release: str
    schema: str
    rows_readable_by: int
    installation: str
    tenants: int
    at: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Server:
    """How Postgres' own programs reach a database: `target` are arguments, `environ` holds what nobody may see in `ps`.
    `own`: it is the embedded one, for which only the wheel's programs fit for sure."""

    target: tuple[str, ...]
    environ: Mapping[str, str]
    own: bool

    def command(self, program: str) -> list[str]:
        """Programs on PATH speak TLS, and fit a server of the same packages; the wheel's do without TLS."""
        found = None if self.own else shutil.which(program)
        return [found, *self.target] if found else client(program, *self.target)


def server_of(url: str, *, own: bool) -> Server:
    """`url`: as `LANDLORD_DATABASE_URL` has it, or that of the home's own server."""
    parts = urlsplit(url.strip())
    login, at, where = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    environ = minimal_environment()
    if password:
        environ["PGPASSWORD"] = unquote(password)
    shown = urlunsplit(("postgresql", f"{user}{at}{where}", parts.path, parts.query, ""))
    return Server(("--dbname", shown), environ, own)


def write(file: Path, home: Home, server: Server, manifest: Manifest) -> None:
    """Make the file, whole or not at all. Raises SettingsError if it is there or cannot be written, Unavailable with
    pg_dump's own words."""
    if file.exists():
        raise SettingsError(f"{file} exists already: name another file, or remove it first")
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".landlord-backup-") as directory:
            dump = Path(directory) / DUMP
            _run(server, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as whole, tarfile.open(fileobj=whole, mode="w") as archive:
                _add_text(archive, MANIFEST, json.dumps(asdict(manifest), indent=1))
                archive.add(dump, DUMP)
                for name in OF_HOME:
                    if (home.root / name).exists():
                        archive.add(home.root / name, f"home/{name}")
                whole.flush()
                os.fsync(whole.fileno())
        draft.rename(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def manifest_of(file: Path) -> Manifest:
    """Raises SettingsError if the file is none of ours."""
    with _opened(file) as archive:
        return _manifest(file, archive)


def unpack_home(file: Path, home: Home) -> list[str]:
    """Put back config.yaml and secrets, where the home has none. Returns the names of what was put back."""
    made = []
    with _opened(file) as archive:
        for name in OF_HOME:
            members = [one for one in archive.getmembers() if one.name == f"home/{name}" or _within(one, name)]
            if not members or (home.root / name).exists():
                continue
            for member in members:
                member.name = member.name.removeprefix("home/")
                member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
            archive.extractall(home.root, members, filter="data")
            made.append(name)
    return made


def load(file: Path, server: Server) -> None:
    """Load the rows into an empty database, all or none. Raises Unavailable with pg_restore's own words."""
    with _opened(file) as archive, tempfile.TemporaryDirectory(prefix="landlord-restore-") as directory:
        archive.extract(DUMP, directory, filter="data")
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
        _run(server, "pg_restore", *options, str(Path(directory) / DUMP))


def _run(server: Server, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [*server.command(program), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(server.environ),
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit {done.returncode}"
        hint = (
            "" if server.own else "; with TLS, or a newer server, it needs that server's own package of clients on PATH"
        )
        raise Unavailable(f"{program} failed: {said}{hint}")


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r:") as archive:
            yield archive
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, KeyError):
        raise SettingsError(f"{file} is not a backup that `landlord backup` made, or only a part of one") from None


def _manifest(file: Path, archive: tarfile.TarFile) -> Manifest:
    member = archive.extractfile(MANIFEST)
    try:
        told = json.loads(member.read(LARGEST_MANIFEST)) if member is not None else {}
        if told.get("format") != FORMAT:
            raise SettingsError(
                f"{file} is a backup of another form ({told.get('format')}): use the release that made it"
            )
        return Manifest(**told)
    except (ValueError, TypeError):
        raise SettingsError(f"{file} is not a backup that `landlord backup` made") from None


def _within(member: tarfile.TarInfo, name: str) -> bool:
    return member.name.startswith(f"home/{name}/")


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    archive.addfile(member, BytesIO(content))
