"""Tenants as static sites in the document root of a web server that runs already: one directory for each generation.

Atomic primitive against double creation: a rename (see `document_root`). Stop, start and remove address a site's id.
"""

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, Self, TypeVar
from uuid import UUID

from controlplane.errors import InvalidConfig, Retryable
from controlplane.model import HealthSpec
from controlplane.ports import (
    Change,
    DesiredResource,
    ExecutionGate,
    Origin,
    ProviderHealth,
    Resource,
    ResourceState,
)
from controlplane.settings import Settings
from landlord_sites.config import SitesConfig, probes_refused
from landlord_sites.document_root import DocumentRoot, Site
from providers.kit import configs
from providers.kit.gated import adoptable, apply_gated
from providers.kit.threads import Threads

IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""A name that is too long, or that is to be a file and a directory: no retry makes such a site."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class SitesCompute:
    """A ComputeProvider without capabilities beyond it. `root`: the web server serves `root/public`."""

    name: ClassVar[str] = "sites"
    resource_kind: ClassVar[str] = "site"
    config_model: ClassVar[type[SitesConfig]] = SitesConfig
    one_node: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        self._root = DocumentRoot(root)
        self._threads = Threads("sites", 4)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.home / "sites")

    async def identity(self) -> str:
        return await self._run(self._root.identity)

    def validate(self, config: Mapping[str, Any], health: HealthSpec) -> None:
        configs.parse(SitesConfig, config)
        configs.refuse([], unsupported=[*probes_refused(health), *configs.exec_probe_refused(health)])

    def diff(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
        return configs.difference(SitesConfig, before, after)

    def exclusive(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        return False

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        self.validate(desired.config, desired.health)
        return await apply_gated(self, desired, gate)

    async def create(self, desired: DesiredResource) -> str | None:
        files = configs.parse(SitesConfig, desired.config).files
        wanted = desired.origin
        try:
            return await self._threads.run(self._root.create, wanted.name, wanted.labels(), files)
        except OSError as error:
            if error.errno in IMPOSSIBLE:
                reason = f"files: the disk cannot hold all of these names: {error.strerror}"
                raise InvalidConfig(reason, code=error.errno) from None
            raise Retryable(f"site {wanted.name} cannot be written: {error.strerror}", code=error.errno) from None

    async def observe(self, origin: Origin) -> Resource | None:
        site = await self._run(self._root.find, origin.name)
        if site is None or not adoptable(site.labels, origin):
            return None
        return _resource(site)

    async def inspect(self, resource_id: str) -> Resource | None:
        site = await self._run(self._root.get, resource_id)
        return None if site is None else _resource(site)

    async def list_owned(self, installation_id: str, tenant_id: UUID | None = None) -> list[Resource]:
        sites = await self._run(lambda: list(self._root.all()))
        found = [resource for site in sites if (resource := _resource(site)) is not None]
        return [
            one
            for one in found
            if one.origin.installation_id == installation_id and tenant_id in (None, one.origin.tenant_id)
        ]

    async def start(self, resource_id: str) -> None:
        await self._run(self._root.publish, resource_id)

    async def stop(self, resource_id: str) -> None:
        await self._run(self._root.withdraw, resource_id)

    async def destroy(self, resource_id: str) -> None:
        await self._run(self._root.remove, resource_id)

    async def health(self) -> ProviderHealth:
        try:
            await self.identity()
        except Retryable as error:
            return ProviderHealth(False, error.message)
        return ProviderHealth(True)

    async def close(self) -> None:
        self._threads.close()

    async def _run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Off the event loop. Raises Retryable where the disk refuses."""
        try:
            return await self._threads.run(call, *args, **kwargs)
        except OSError as error:
            raise Retryable(f"the document root cannot be used: {error.strerror}", code=error.errno) from None


def _resource(site: Site) -> Resource | None:
    """None where the labels are not Landlord's."""
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
