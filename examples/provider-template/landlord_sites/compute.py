"""Tenants as static sites in the document root of a running web server: one directory for each generation.

Atomic primitive against double creation: a rename (see `document_root`). Stop, start and remove address a site's id.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self
from uuid import UUID

from controlplane.errors import InvalidConfig, Unavailable
from controlplane.ports import DesiredResource, Origin, Resource, ResourceState
from controlplane.settings import Settings
from landlord_sites.config import SitesConfig
from landlord_sites.document_root import DocumentRoot, Site
from providers.kit.gated import GatedCompute, adoptable, owned
from providers.kit.threads import Threads

IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""A name that is too long, or that would be a file and a directory: no retry makes such a site."""


class SitesCompute(GatedCompute[SitesConfig]):
    """A ComputeProvider without further capabilities. `root`: the web server serves `root/public`."""

    name: ClassVar[str] = "sites"
    resource_kind: ClassVar[str] = "site"
    config_model: ClassVar[type[SitesConfig]] = SitesConfig
    one_node: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        self._root = DocumentRoot(root)
        self._threads = Threads("sites", 4, translate=_on_disk)

    @classmethod
    def build(cls, settings: Settings) -> Self:
        return cls(settings.home / "sites")

    async def identity(self) -> str:
        return await self._threads.ask(self._root.identity)

    async def create(self, desired: DesiredResource) -> str | None:
        files = self.parse(desired.config).files
        return await self._threads.run(self._root.create, desired.origin.name, desired.origin.labels(), files)

    async def observe(self, origin: Origin) -> Resource | None:
        site = await self._threads.ask(self._root.find, origin.name)
        if site is None or not adoptable(site.labels, origin):
            return None
        return _resource(site)

    async def inspect(self, resource_id: str) -> Resource | None:
        site = await self._threads.ask(self._root.get, resource_id)
        return None if site is None else _resource(site)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        sites = await self._threads.ask(lambda: list(self._root.all()))
        return owned(map(_resource, sites), installation_id, tenant_id)

    async def start(self, resource_id: str) -> None:
        await self._threads.run(self._root.publish, resource_id)

    async def stop(self, resource_id: str) -> None:
        await self._threads.run(self._root.withdraw, resource_id)

    async def destroy(self, resource_id: str) -> None:
        await self._threads.run(self._root.remove, resource_id)

    async def close(self) -> None:
        self._threads.close()


@contextmanager
def _on_disk() -> Iterator[None]:
    """The disk's errors become Landlord's: it may have room later, or never take such names."""
    try:
        yield
    except OSError as error:
        if error.errno in IMPOSSIBLE:
            reason = f"files: the disk cannot hold all of these names: {error.strerror}"
            raise InvalidConfig(reason, code=error.errno) from None
        raise Unavailable(f"the document root cannot be used: {error.strerror}", code=error.errno) from None


def _resource(site: Site) -> Resource | None:
    """The site as a Resource. None if the labels are not Landlord's."""
    origin = Origin.from_labels(site.labels)
    if origin is None:
        return None
    return Resource(
        id=site.id,
        name=site.name,
        origin=origin,
        state=ResourceState.RUNNING if site.published else ResourceState.STOPPED,
        detail="" if site.published else "the site is not published",
    )
