"""A bundle for support: texts of this home in one file, without a secret.

A text loses every value that is known to be secret here, then what shows by its form or its name (`secrecy`). What it
cannot know is a secret that a program wrote into its log without a telling name or form.
"""

import io
import json
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml

from controlplane.local.paths import Home
from controlplane.secrecy import MASK, hide_line, looks_secret
from controlplane.settings import Settings

SHORTEST_SECRET = 6
"""A shorter value is not looked for: it would take words apart."""
LONGEST_LOG = 4 * 1024 * 1024
"""Bytes of each log file, from its end."""
RAY_LOGS = ("gcs_server*", "raylet*", "dashboard.log", "worker-*.err", "serve/*.log")
MOST_RAY_LOGS = 60
"""The newest."""


class Bundle:
    """A `.tar.gz` that only this user may read. `put` takes texts and documents by the names that they have in it."""

    def __init__(self, path: Path, secrets: Iterable[str]) -> None:
        """Raises FileExistsError: another file is never overwritten."""
        self._secrets = secrets_by_length(secrets)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz")  # noqa: SIM115
        self.names: list[str] = []

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._file.close()

    def put(self, name: str, content: str | Any) -> None:
        """A text, or what JSON can say."""
        redacted = self._redacted(content)
        text = redacted if isinstance(redacted, str) else json.dumps(redacted, indent=2, default=str)
        data = text.encode(errors="replace")
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
        self._tar.addfile(entry, io.BytesIO(data))
        self.names.append(name)

    def _redacted(self, content: Any) -> Any:
        match content:
            case str():
                for secret in self._secrets:
                    content = content.replace(secret, MASK)
                return "\n".join(hide_line(line) for line in content.split("\n"))
            case dict():
                return {self._redacted(str(name)): self._redacted(value) for name, value in content.items()}
            case list() | tuple():
                return [self._redacted(one) for one in content]
            case _:
                return content


def logs(home: Home) -> Iterator[tuple[str, str]]:
    """Name in the bundle and text: the ends of our own logs, and of Ray's last session."""
    for path in sorted(home.logs.glob("*.log*")):
        yield f"logs/{path.name}", tail(path)
    session = home.root / "ray" / "t" / "session_latest" / "logs"
    found = [path for pattern in RAY_LOGS for path in session.glob(pattern) if path.is_file()]
    newest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_RAY_LOGS]
    for path in newest:
        yield f"ray/{path.relative_to(session)}", tail(path)


def tail(path: Path) -> str:
    """The end of a file, from the begin of a line."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_LOG))
            if size > LONGEST_LOG:
                file.readline()
            return file.read().decode(errors="replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"


def known_secrets(settings: Settings, home: Home, environ: Mapping[str, str]) -> set[str]:
    """The values of this home and of this environment that are secret, in each form in which a text may have them."""
    found = {value for name, value in environ.items() if looks_secret(name)}
    for value in (getattr(settings, name) for name in type(settings).model_fields):
        if hasattr(value, "get_secret_value"):
            found.add(value.get_secret_value())
    found |= set(_of_files(home))
    found |= set(_of_yaml(home.root / "config.yaml"))
    for url in [value for value in found if "://" in value]:
        password = urlsplit(url).password
        if password:
            found |= {password, unquote(password)}
    return {form for value in found for form in _forms(value.strip())}


def secrets_by_length(secrets: Iterable[str]) -> list[str]:
    """The longest first, so that none leaves a part of another."""
    return sorted({one for one in secrets if len(one) >= SHORTEST_SECRET}, key=lambda one: (-len(one), one))


def _of_files(home: Home) -> Iterator[str]:
    files = [home.token, home.ray_token]
    files += [path for path in (home.root / "secrets").rglob("*") if path.is_file()]
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        yield text
        yield from text.splitlines()


def _of_yaml(path: Path) -> Iterator[str]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return
    for name, value in (document or {}).items() if isinstance(document, dict) else ():
        if isinstance(value, str) and (looks_secret(str(name)) or str(name).endswith("_url")):
            yield value


def _forms(value: str) -> set[str]:
    return {value, quote(value, safe=""), json.dumps(value)[1:-1]}
