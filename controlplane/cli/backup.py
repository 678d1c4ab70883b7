"""`landlord backup`: all that is needed to make this installation again, in one file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.console import errors, output, progress
from controlplane.cli.database import ask
from controlplane.errors import SettingsError
from controlplane.local import backup as backups
from controlplane.local.installation import Installation
from controlplane.local.lock import file_lock
from controlplane.local.paths import Home
from controlplane.persistence.holdings import holdings, prepared, refuse_newer
from controlplane.settings import Settings, load_settings

APPLICATION = "landlord backup"


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make; it must not exist yet.")],
) -> None:
    """Write a backup: all rows of one moment, config.yaml and the secrets of the home. The control plane may run.

    The file holds secrets, so only you may read it. `landlord restore FILE` makes the installation again from it. What
    tenants store (volumes, databases of their own) is not in it. This command acts on the home (LANDLORD_HOME), not
    on LANDLORD_URL.

    Example: landlord backup /backups/landlord-monday.tar
    """
    settings = load_settings()
    home = Home(settings.home)
    if settings.database_url is None and not home.postgres.exists():
        raise SettingsError(
            f"there is nothing to back up: {home.root} has no database; LANDLORD_HOME names another home"
        )
    with progress("writing the backup"), database(settings) as url:
        facts: dict[str, Any] = ask(url, holdings, application=APPLICATION)
        manifest = backups.Manifest(release=version("landlord"), **facts)
        backups.write(file.absolute(), home, server(settings, url), manifest)
    size = file.stat().st_size
    output.print(f"{file}: {manifest.tenants} tenants, schema {manifest.schema}, {size:,} bytes", markup=False)


def unpack(file: Path, home: Home) -> backups.Manifest:
    """Check the backup, and put its files into the home, before settings are read from there. Raises SettingsError,
    SchemaTooNew."""
    manifest = backups.manifest_of(file)
    refuse_newer(manifest.schema, manifest.rows_readable_by)
    home.ensure()
    for name in backups.unpack_home(file, home):
        errors.print(f"put back {home.root / name}", markup=False)
    return manifest


def load(file: Path, settings: Settings) -> None:
    """Load the backup's rows into the database of these settings. Raises SettingsError if that is not empty."""
    with database(settings, stop=False) as url:
        if ask(url, prepared, application=APPLICATION):
            where = "LANDLORD_DATABASE_URL" if settings.database_url is not None else str(Home(settings.home).postgres)
            raise SettingsError(
                f"{where} holds an installation already, which a backup would replace: name an empty database or home, "
                "or run `landlord restore` without a file"
            )
        backups.load(file, server(settings, url))


def server(settings: Settings, url: str) -> backups.Server:
    return backups.server_of(url, own=settings.database_url is None)


@contextmanager
def database(settings: Settings, *, stop: bool = True) -> Iterator[str]:
    """The URL of the home's database, as the owner of its tables. An embedded server is started if it does not run;
    `stop`: and stopped again."""
    given = settings.database_owner_url or settings.database_url
    if given is not None:
        yield given.get_secret_value()
        return
    installation = Installation(settings, os.environ, lambda _: None)
    installation.home.ensure()
    if installation.postgres.running:
        yield installation.postgres.url
        return
    with file_lock(installation.home.lock):
        ran = installation.postgres.running
        try:
            yield installation.postgres.start()
        finally:
            if stop and not ran:
                installation.postgres.stop()
