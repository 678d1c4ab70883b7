"""`landlord support-bundle`: what somebody who helps needs to see, in one file, without a secret."""

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.console import output, progress
from controlplane.cli.output import plain
from controlplane.client import connection
from controlplane.errors import LandlordError, SettingsError
from controlplane.local.build import build_id
from controlplane.local.bundle import Bundle, known_secrets, logs
from controlplane.local.installation import Installation
from controlplane.local.paths import Home
from controlplane.settings import Settings, load_settings
from landlord_client import Client, LandlordClientError

EVENTS = 500
PACKAGES = (
    "landlord",
    "ray",
    "fastapi",
    "pydantic",
    "sqlalchemy",
    "asyncpg",
    "docker",
    "boto3",
    "restate-sdk",
    "httpx",
)
README = """A bundle of `landlord support-bundle`. Secrets are stars; specs, labels and annotations are not in it.

versions.json   this release, Python, packages, machine
settings.json   the settings in effect
status.json     what runs where
doctor.json     rows compared with actors and resources
metrics.txt     counts, queues, the last sweep by stage
providers.json  the enabled providers and their health
tenants.json    status and conditions of each tenant
events.json     the newest events
logs/           the ends of the logs of this home
ray/            the ends of the logs of Ray's last session
"""


def support_bundle(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to make, default landlord-support-TIME.tar.gz here.")
    ] = None,
) -> None:
    """Gather logs, findings, settings, versions and the last sweeps of this home in one file.

    Secrets are stars, and specs of tenants are left out. Names of tenants, addresses and messages are in it: look
    before you hand it on. What does not answer is said in its place, so it also helps when the control plane is down.

    Example: landlord support-bundle /tmp/landlord-support.tar.gz
    """
    settings = load_settings()
    home = Home(settings.home)
    path = file or Path(f"landlord-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    try:
        bundle = Bundle(path, known_secrets(settings, home, os.environ))
    except OSError as error:
        raise SettingsError(f"{path} cannot be made: {error.strerror}") from None
    with progress("gathering") as shown, bundle:
        bundle.put("README.txt", README)
        for name, look in _parts(settings):
            shown.say(name)
            bundle.put(name, _said(look))
        for name, text in logs(home):
            shown.say(name)
            bundle.put(name, text)
    output.print(f"{path}: {len(bundle.names)} files, {path.stat().st_size:,} bytes", markup=False)


def _parts(settings: Settings) -> list[tuple[str, Callable[[], Any]]]:
    def of(call: Callable[[Client], Any]) -> Callable[[], Any]:
        def look() -> Any:
            with connection.client_of(settings) as client:
                return call(client)

        return look

    return [
        ("versions.json", _versions),
        ("settings.json", settings.masked),
        ("status.json", lambda: _status(settings)),
        ("doctor.json", of(lambda client: plain(client.consistency()))),
        ("metrics.txt", of(lambda client: client.metrics())),
        ("providers.json", of(lambda client: plain(client.list_providers()))),
        ("tenants.json", of(_tenants)),
        ("events.json", of(lambda client: plain(client.list_events(limit=EVENTS)))),
    ]


def _said(look: Callable[[], Any]) -> Any:
    """What it found, or why it found nothing: each part is on its own."""
    try:
        return look()
    except (LandlordError, LandlordClientError) as error:
        return {"error": error.message}
    except Exception as error:
        return {"error": f"unexpected: {type(error).__name__}"}


def _versions() -> dict[str, Any]:
    return {
        "build": build_id(),
        "python": sys.version,
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "time": datetime.now(UTC).isoformat(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _status(settings: Settings) -> list[dict[str, Any]]:
    parts = Installation(settings, os.environ, lambda _: None).components()
    return [
        {"component": part.name, "up": part.up, "address": part.address, "pid": part.pid, "detail": part.detail}
        for part in parts
    ]


def _tenants(client: Client) -> list[dict[str, Any]]:
    """Without what clients wrote: spec, labels, annotations."""
    kept = ("id", "name", "generation", "observed_generation", "status", "status_message", "conditions", "workflow")
    more = ("observed", "workflow_execution_id", "paused", "version", "created_at", "updated_at")
    return [
        {name: value for name, value in tenant.document.items() if name in kept + more}
        for tenant in client.iterate_tenants()
    ]
