"""The config of a container, and the checks that refuse an impossible one."""

import ipaddress
import re
import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from controlplane.model import Bound, HealthSpec, Strict
from providers.compute.docker import output
from providers.compute.docker.output import LogDriver
from providers.compute.docker.reach import Reach
from providers.compute.docker.reference import ImageReference
from providers.compute.docker.surroundings import (
    OF_THE_MACHINE,
    Address,
    ExtraHost,
    Gpus,
    Group,
    Hostname,
    Labels,
    Tmpfs,
    Ulimits,
    User,
    WorkingDirectory,
)
from providers.kit.configs import Problems, ProviderConfig
from providers.kit.secrets import SecretNames, SecretText, Variable
from providers.kit.signals import MOST_GRACE, StopSignal

Port = Annotated[int, Field(ge=1, le=65535)]
EngineName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", max_length=128)]
"""A name that Docker accepts for a volume or network: no slash, so no path of the host."""
EnvName = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$"), Bound(characters=256)]

DEFAULT_PIDS = 512
OWN = (None, "tenant")
"""Values of `network` that mean a network of the tenant's own."""
HOST_ACCESS = "gives access to the host, which LANDLORD_DOCKER_ALLOW_HOST_ACCESS does not allow here"


class PublishedPort(Strict):
    """A port of the container. If `host_port` is left out, Docker Engine chooses a free one each time the container
    starts."""

    container_port: Port
    host_port: Port | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str = Field(
        default="127.0.0.1",
        description="the host address to publish on; left out on a machine of a cluster, that machine's own",
    )

    @field_validator("host_ip")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("must be an IP address") from None

    def at(self, address: str) -> Self:
        """Published on that address, unless it says itself on which."""
        return self if "host_ip" in self.model_fields_set else self.model_copy(update={"host_ip": address})

    @property
    def key(self) -> str:
        """As Docker writes it: `8080/tcp`."""
        return f"{self.container_port}/{self.protocol}"


class Resources(Strict):
    """Limits that Docker Engine enforces. None: no limit."""

    cpu_millis: Annotated[int, Bound(le=10**6)] | None = Field(default=None, ge=10, description="thousandths of a CPU")
    memory_mib: Annotated[int, Bound(le=2**24)] | None = Field(
        default=None, ge=6, description="MiB; there is no swap beyond it"
    )
    pids: int = Field(default=DEFAULT_PIDS, ge=4, le=2**15, description="processes and threads at a time")


class Volume(Strict):
    """A volume of the tenant's own, kept across its generations until the tenant is deleted: `data:/var/lib/data[:ro]`
    or the fields. If `source` is a path, it is a directory of the host, which a setting must allow."""

    source: str = Field(min_length=1, max_length=1024)
    target: str = Field(pattern=r"^/[^:\x00]*$", max_length=1024)
    read_only: bool = False

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"([^:]+):(/[^:]*)(:ro|:rw)?", value)
        if found is None:
            raise ValueError("must be NAME:/PATH or NAME:/PATH:ro")
        return {"source": found[1], "target": found[2], "read_only": found[3] == ":ro"}

    @field_validator("source")
    @classmethod
    def _name_or_path(cls, value: str) -> str:
        if value.startswith("/") or re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}", value):
            return value
        raise ValueError("must be the name of a volume")

    @property
    def of_host(self) -> bool:
        return self.source.startswith("/")


class DockerConfig(ProviderConfig):
    """`network`: None or `tenant` is a network of the tenant's own, kept like its volumes. `none`. `host`. Else the
    name of an existing network, which a setting must list; never `landlord-…`, which belong to other tenants."""

    image: str = Field(max_length=512)
    command: Annotated[list[str] | str | None, Bound(characters=8192, items=512)] = None
    entrypoint: Annotated[list[str] | str | None, Bound(characters=8192, items=512)] = Field(
        default=None, description="takes the place of the image's own, and of the image's command"
    )
    user: User | None = None
    group_add: list[Group] = Field(
        default_factory=list, max_length=32, description="groups that the user is in beside its own"
    )
    working_dir: WorkingDirectory | None = Field(
        default=None, description="where the program starts, made if it is not there; the image's own if left out"
    )
    hostname: Hostname | None = None
    env: Annotated[dict[EnvName, Variable], Bound(items=512)] = Field(default_factory=dict, repr=False)
    secret_env: SecretNames = Field(default_factory=list)
    ports: list[PublishedPort] = Field(default_factory=list, max_length=64)
    resources: Resources = Resources()
    volumes: list[Volume] = Field(default_factory=list, max_length=64)
    network: EngineName | None = None
    restart_policy: Literal["no", "on-failure", "always", "unless-stopped"] = "no"
    pull: Literal["missing", "always", "never"] = "missing"
    privileged: bool = False
    init: bool = Field(default=False, description="a small init as PID 1, which passes signals on and reaps children")
    stop_grace_seconds: int | None = Field(
        default=None, ge=0, le=MOST_GRACE, description="between the stop signal and the kill; 10 if left out"
    )
    stop_signal: StopSignal | None = Field(default=None, description="the image's own if left out, else SIGTERM")
    labels: Labels = Field(default_factory=dict)
    extra_hosts: list[ExtraHost] = Field(default_factory=list, max_length=64)
    dns: list[Address] = Field(default_factory=list, max_length=8)
    read_only: bool = Field(default=False, description="nothing can be written but volumes and tmpfs")
    tmpfs: list[Tmpfs] = Field(default_factory=list, max_length=16)
    shm_size_mib: int | None = Field(default=None, ge=1, le=2**16, description="MiB of /dev/shm; 64 if left out")
    ulimits: Ulimits = Field(default_factory=dict)
    gpus: Gpus | None = Field(
        default=None, description="`all`, their number, or the list of their ids; takes access to the host"
    )
    registry_auth: SecretText | None = Field(
        default=None,
        description="a secret with the login for the image's registry: USER:PASSWORD, or the JSON of a config.json",
    )
    log_driver: LogDriver | None = None
    log_options: Annotated[dict[str, Annotated[str, Bound(characters=4096)]], Field(max_length=64)] = Field(
        default_factory=dict, repr=False
    )

    @field_validator("image")
    @classmethod
    def _image_name(cls, value: str) -> str:
        ImageReference.parse(value)
        return value

    @field_validator("entrypoint")
    @classmethod
    def _has_words(cls, value: list[str] | str | None) -> list[str] | str | None:
        if value is not None and not (value.split() if isinstance(value, str) else value):
            raise ValueError("has no word; leave it out for the image's own")
        return value

    @field_validator("command", "entrypoint")
    @classmethod
    def _splits(cls, value: list[str] | str | None) -> list[str] | str | None:
        if isinstance(value, str):
            try:
                shlex.split(value)
            except ValueError as error:
                raise ValueError(f"cannot be split into words: {error}") from None
        return value

    @field_validator("ports")
    @classmethod
    def _ports_once(cls, ports: list[PublishedPort]) -> list[PublishedPort]:
        if len({port.key for port in ports}) < len(ports):
            raise ValueError("a container port is given twice")
        fixed = [(port.host_ip, port.host_port, port.protocol) for port in ports if port.host_port is not None]
        if len(set(fixed)) < len(fixed):
            raise ValueError("a host port is given twice")
        return ports

    @field_validator("volumes")
    @classmethod
    def _targets_once(cls, volumes: list[Volume]) -> list[Volume]:
        if len({volume.target for volume in volumes}) < len(volumes):
            raise ValueError("a target is given twice")
        return volumes

    @field_validator("network")
    @classmethod
    def _not_of_others(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("landlord-"):
            raise ValueError("belongs to a tenant; write `tenant` for this tenant's own network")
        return value

    @property
    def arguments(self) -> list[str] | None:
        """The command as words."""
        return _words(self.command)

    @property
    def program(self) -> list[str] | None:
        """The entrypoint as words."""
        return _words(self.entrypoint)

    @property
    def mounted(self) -> list[str]:
        """Where a volume or a tmpfs is mounted."""
        return [*(volume.target for volume in self.volumes), *(directory.target for directory in self.tmpfs)]

    def published_at(self, address: str) -> Self:
        """With that address for each port that says none."""
        return self.model_copy(update={"ports": [port.at(address) for port in self.ports]})

    def excludes(self, other: "DockerConfig") -> bool:
        """True if the two cannot run side by side: they want the same port of the host, or one writes to a volume of
        both."""
        shared = {volume.source for volume in self.volumes} & {volume.source for volume in other.volumes}
        written = {volume.source for volume in (*self.volumes, *other.volumes) if not volume.read_only}
        return bool(self._fixed_ports & other._fixed_ports or shared & written)

    @property
    def _fixed_ports(self) -> set[tuple[int, str]]:
        """Fixed ports of the host, on any of its addresses."""
        of_host = self.network == "host"
        fixed = ((port.container_port if of_host else port.host_port, port.protocol) for port in self.ports)
        return {(number, protocol) for number, protocol in fixed if number is not None}

    def host_access(self) -> list[str]:
        """Where it reaches into this machine, which an installation may allow to admins."""
        found = ["privileged"] if self.privileged else []
        if self.network == "host":
            found.append("network")
        if self.gpus is not None:
            found.append("gpus")
        if output.reaches_host(self.log_driver):
            found.append("log_driver")
        found += [f"ulimits.{name}" for name in self.ulimits if name in OF_THE_MACHINE]
        return [*found, *(f"volumes.{index}.source" for index, volume in enumerate(self.volumes) if volume.of_host)]

    def problems(self, health: HealthSpec) -> Problems:
        found = []
        if self.network == "none" and self.ports:
            found.append({"loc": "network", "message": "none publishes no ports; leave ports out"})
        targets = [target.rstrip("/") for target in self.mounted]
        if self.tmpfs and len(set(targets)) < len(targets):
            found.append({"loc": "tmpfs", "message": "a target is given twice, here or in volumes"})
        found += output.problems(self.log_driver, self.log_options)
        return found + self._probe_problems(health)

    def out_of_reach(self, health: HealthSpec, reach: Reach) -> Problems:
        """The port to probe, if it is published where no probe from here gets to."""
        probe = health.http or health.tcp
        if probe is None or self.network == "host":
            return []
        message = (
            f"the Docker Engine is on {reach.host}, where a port on {{}} cannot be probed from here; publish it on "
            "0.0.0.0, or on an address of that machine, that LANDLORD_DOCKER_PUBLISH allows"
        )
        return [
            {"loc": f"ports.{index}.host_ip", "message": message.format(port.host_ip)}
            for index, port in enumerate(self.ports)
            if port.protocol == "tcp" and probe.port in (None, port.container_port) and reach.at(port.host_ip) is None
        ]

    def _probe_problems(self, health: HealthSpec) -> list[dict[str, str]]:
        kind, probe = ("http", health.http) if health.http is not None else ("tcp", health.tcp)
        if probe is None:
            return []
        loc = f"health.{kind}.port"
        ports = [port.container_port for port in self.ports if port.protocol == "tcp"]
        if not ports:
            return [{"loc": loc, "message": "there is nothing to probe: ports publishes no tcp port"}]
        if probe.port is None and len(ports) > 1:
            return [{"loc": loc, "message": f"name the port to probe: one of {', '.join(map(str, ports))}"}]
        if probe.port is not None and probe.port not in ports:
            return [{"loc": loc, "message": f"{probe.port} is not among the published tcp ports"}]
        return []


def _words(command: list[str] | str | None) -> list[str] | None:
    return shlex.split(command) if isinstance(command, str) else command
