"""Sites on disk, by blocking calls.

    <root>/store/<name>/       a site: `labels.json` and `files/`
    <root>/public/<name>       a link to its files while it is published: what a web server serves
    <root>/work/               sites that are being made or removed
    <root>/identity            the id of this document root

Atomic primitive against double creation: the rename of a complete site, labels included, into `store`; the second
rename to a name fails. The id of a site is `<name>:<token>`, with a token of this very site in its labels.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TOKEN = "sites.token"


@dataclass(frozen=True, slots=True)
class Site:
    """A site on disk. `published`: it is visible in `public`."""

    id: str
    name: str
    labels: Mapping[str, str]
    published: bool


class DocumentRoot:
    """Raises OSError. Missing is no error. Makes its directories at the first call that writes."""

    def __init__(self, root: Path) -> None:
        self._store, self._public, self._work = root / "store", root / "public", root / "work"
        self._identity = root / "identity"

    def identity(self) -> str:
        if not self._identity.exists():
            draft = self._draft()
            draft.write_text(str(uuid.uuid4()))
            with contextlib.suppress(FileExistsError):
                os.link(draft, self._identity)  # complete from the start, and only the first one counts
            draft.unlink()
        return self._identity.read_text()

    def create(self, name: str, labels: Mapping[str, str], files: Mapping[str, str]) -> str | None:
        """The id of a new site that is not published. None: the name is taken."""
        draft, token = self._draft(), uuid.uuid4().hex
        try:
            for path, text in files.items():
                file = draft / "files" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            (draft / "labels.json").write_text(json.dumps({**labels, TOKEN: token}))
            self._store.mkdir(exist_ok=True)
            os.rename(draft, self._store / name)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if self.find(name) is None:
                raise
            return None
        return f"{name}:{token}"

    def find(self, name: str) -> Site | None:
        directory = self._store / name
        try:
            labels = json.loads((directory / "labels.json").read_text())
        except FileNotFoundError:
            return None
        return Site(f"{name}:{labels.get(TOKEN, '')}", name, labels, (self._public / name).is_symlink())

    def get(self, site_id: str) -> Site | None:
        site = self.find(site_id.partition(":")[0])
        return site if site is not None and site.id == site_id else None

    def all(self) -> Iterator[Site]:
        if self._store.exists():
            for name in sorted(os.listdir(self._store)):
                site = self.find(name)
                if site is not None:
                    yield site

    def publish(self, site_id: str) -> None:
        site = self.get(site_id)
        if site is not None and not site.published:
            self._public.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (self._public / site.name).symlink_to(self._store / site.name / "files")

    def withdraw(self, site_id: str) -> None:
        site = self.get(site_id)
        if site is not None:
            (self._public / site.name).unlink(missing_ok=True)

    def remove(self, site_id: str) -> None:
        """Withdraw the site, then remove it: it leaves the store at once, and the disk when this returns."""
        site = self.get(site_id)
        if site is None:
            return
        self.withdraw(site_id)
        grave = self._draft()
        try:
            os.rename(self._store / site.name, grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave)

    def _draft(self) -> Path:
        """A path that nothing else uses."""
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work / uuid.uuid4().hex
