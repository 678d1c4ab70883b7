"""What this installation lets a container have, beyond what can work at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from controlplane.settings import Settings
from providers.compute.docker.config import HOST_ACCESS, OWN, DockerConfig
from providers.compute.docker.reference import ImageReference
from providers.kit.configs import Problems


@dataclass(frozen=True, slots=True)
class DockerPolicy:
    """`networks`: names of existing networks that tenants may join. `publish`: addresses that ports may be published
    on. `registries`: where images may come from, None: anywhere. `own_port`: the API's, which no tenant may hold.
    `address`: where ports go that say none, on an engine of this machine."""

    allow_host_access: bool = False
    networks: Sequence[str] = ()
    publish: Sequence[str] = ("127.0.0.1",)
    registries: Sequence[str] | None = None
    own_port: int | None = None
    address: str = "127.0.0.1"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            allow_host_access=settings.docker_allow_host_access,
            networks=settings.docker_networks,
            publish=settings.docker_publish if settings.alone else (*settings.docker_publish, settings.node_address),
            registries=settings.docker_registries,
            own_port=settings.port,
            address="127.0.0.1" if settings.alone else settings.node_address,
        )

    def problems(self, config: DockerConfig) -> Problems:
        host = [] if self.allow_host_access else [{"loc": loc, "message": HOST_ACCESS} for loc in config.host_access()]
        return [*host, *self._network(config), *self._published(config), *self._image(config)]

    def holds_own_port(self, config: DockerConfig) -> Problems:
        """Ports that a tenant would hold whenever the API is down, and get its clients' tokens. For an engine on this
        machine."""
        return [
            {
                "loc": f"ports.{index}.host_port",
                "message": f"port {self.own_port} is the control plane's own; leave it out, or take another",
            }
            for index, port in enumerate(config.ports)
            if port.host_port is not None and port.host_port == self.own_port and port.protocol == "tcp"
        ]

    def _network(self, config: DockerConfig) -> Problems:
        if config.network in OWN or config.network in ("none", "host", *self.networks):
            return []
        message = (
            f"tenants may not join the network {config.network!r} here; leave this out for a network of the tenant's "
            "own, or have it listed in LANDLORD_DOCKER_NETWORKS"
        )
        return [{"loc": "network", "message": message}]

    def _published(self, config: DockerConfig) -> Problems:
        allowed = ", ".join(self.publish) or "none"
        return [
            {
                "loc": f"ports.{index}.host_ip",
                "message": f"no port may be published on {port.host_ip} here; LANDLORD_DOCKER_PUBLISH allows {allowed}",
            }
            for index, port in enumerate(config.ports)
            if port.host_ip not in self.publish and config.network != "host"
        ]

    def _image(self, config: DockerConfig) -> Problems:
        if self.registries is None:
            return []
        reference = ImageReference.parse(config.image)
        if any(reference.among(allowed) for allowed in self.registries):
            return []
        allowed = ", ".join(self.registries) or "none"
        message = f"images may not come from {reference.registry} here; LANDLORD_DOCKER_REGISTRIES allows {allowed}"
        return [{"loc": "image", "message": message}]
