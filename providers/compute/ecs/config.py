"""The config of an ECS service, and the checks that refuse an impossible one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from controlplane.model import HealthSpec
from providers.aws.clients import input_shape
from providers.compute.ecs import surroundings
from providers.compute.ecs.shapes import misfits
from providers.kit.configs import Problems, ProviderConfig
from providers.kit.secrets import SecretNames, is_reference, placeheld

ARN = r"arn:aws[a-z-]*"
Cluster = Annotated[
    str, StringConstraints(pattern=rf"^({ARN}:ecs:[a-z0-9-]+:\d{{12}}:cluster/)?[A-Za-z0-9][A-Za-z0-9_-]{{0,254}}$")
]
Role = Annotated[str, StringConstraints(pattern=rf"^{ARN}:iam::\d{{12}}:role/[A-Za-z0-9+=,.@_/-]{{1,576}}$")]
TASK_DEFINITION = rf"^({ARN}:ecs:[a-z0-9-]+:\d{{12}}:task-definition/)?[A-Za-z0-9_-]{{1,255}}(:[1-9]\d*)?$"
OWN_MODES: Mapping[str, tuple[str | None, ...]] = {
    "networkMode": (None, "awsvpc", "bridge", "none", "default"),
    "pidMode": (None, "task"),
    "ipcMode": (None, "task", "none"),
}
"""The values that keep a task to itself. Whatever else stands there, also a reference to a secret, may be the host."""
HARDENING = ("no-new-privileges", "no-new-privileges:true")
NO_ADDRESS = "an ECS service has no address to probe from here; leave this out, and ECS's own health decides"


class EcsConfig(ProviderConfig):
    """`task_definition` is in AWS's own words (`RegisterTaskDefinition`), and so are `network_configuration`,
    `capacity_provider_strategy`, `load_balancers`, `service_registries` and `service_connect` (those members of
    `CreateService`), so that knowledge of ECS applies here."""

    cluster: Cluster = Field(default="default", description="name or ARN of an existing cluster")
    task_definition: Annotated[str, StringConstraints(pattern=TASK_DEFINITION)] | dict[str, Any] = Field(
        description="the ARN (or family:revision) of an existing one, or a definition as RegisterTaskDefinition takes "
        "it, registered for this generation under a family of Landlord's own and retired with it"
    )
    secret_env: SecretNames = Field(default_factory=list)
    desired_count: int = Field(default=1, ge=1, le=5000, description="the number of tasks")
    launch_type: Literal["FARGATE", "EC2", "EXTERNAL"] | None = Field(
        default=None, description="left out: the cluster's default capacity providers"
    )
    network_configuration: dict[str, Any] | None = Field(
        default=None, description='{"awsvpcConfiguration": {"subnets": ["subnet-…"], …}}; Fargate needs one'
    )
    capacity_provider_strategy: list[dict[str, Any]] = Field(
        default_factory=list, max_length=20, description='[{"capacityProvider": "FARGATE_SPOT", "weight": 1}]'
    )
    load_balancers: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=5,
        description='[{"targetGroupArn": …, "containerName": "web", "containerPort": 80}]',
    )
    service_registries: list[dict[str, Any]] = Field(
        default_factory=list, max_length=1, description='[{"registryArn": …}]: a service of Cloud Map'
    )
    service_connect: dict[str, Any] | None = Field(
        default=None, description='{"enabled": true, "namespace": …}: its tasks are clients of that namespace'
    )
    health_check_grace_period_seconds: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="time in which a load balancer's verdict on a new task is ignored"
    )
    assume_role_arn: Role | None = Field(
        default=None, description="the role to act as, in this account or another; left out: the control plane's own"
    )

    @field_validator("task_definition", mode="before")
    @classmethod
    def _one_or_the_other(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping) or is_reference(value):
            raise ValueError("must be the ARN of a task definition, or a definition (secrets may stand inside it)")
        return value

    @property
    def definition(self) -> Mapping[str, Any] | None:
        """The definition to register. None if the config names an existing one."""
        return None if isinstance(self.task_definition, str) else self.task_definition

    @field_validator("task_definition")
    @classmethod
    def _references(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        placeheld(value)
        return value

    def problems(self, health: HealthSpec) -> Problems:
        found: list[dict[str, str]] = []
        if self.definition is not None:
            # Landlord chooses the family; a given one is ignored.
            shape = input_shape("RegisterTaskDefinition")
            found += misfits(shape, {"family": "", **placeheld(self.definition)}, "task_definition")
        if self.network_configuration is not None:
            shape = input_shape("CreateService").members["networkConfiguration"]
            found += misfits(shape, self.network_configuration, "network_configuration")
        found += surroundings.problems(self)
        return found or surroundings.missing_ports(self)

    def unsupported(self, health: HealthSpec) -> Problems:
        """Refuses probes of an address."""
        probes = (("http", health.http), ("tcp", health.tcp))
        return [{"loc": f"health.{kind}", "message": NO_ADDRESS} for kind, probe in probes if probe is not None]

    def host_access(self) -> list[str]:
        """Where its definition reaches into the container instance, or into storage that is not the task's own. An
        existing definition is not known here."""
        return [f"task_definition.{loc}" for loc in _reaching(self.definition or {})]

    def task_roles(self) -> list[tuple[str, Any]]:
        """The roles that its definition hands to the task and to ECS."""
        definition = self.definition or {}
        return [(name, definition[name]) for name in ("taskRoleArn", "executionRoleArn") if definition.get(name)]

    def excludes(self, other: "EcsConfig") -> bool:
        """True if both want the same port of the container instances of one cluster. The ports of a definition that is
        only named are not known here."""
        one_place = (_short(self.cluster), self.assume_role_arn) == (_short(other.cluster), other.assume_role_arn)
        return one_place and bool(_host_ports(self.definition) & _host_ports(other.definition))


def _short(cluster: str) -> str:
    """The name of a cluster that is given by name or ARN."""
    return cluster.rpartition("/")[2]


def _host_ports(definition: Mapping[str, Any] | None) -> set[tuple[int, str]]:
    """The fixed ports that one task takes from its instance. With awsvpc, and so on Fargate, each task has an address
    of its own. Without a number, or with 0, ECS chooses."""
    network = "bridge" if definition is None else definition.get("networkMode", "bridge")
    found = set()
    for mapping in _of_containers(definition or {}, "portMappings"):
        port = mapping.get("hostPort") or (mapping.get("containerPort") if network == "host" else None)
        if network != "awsvpc" and isinstance(port, int) and port:
            found.add((port, str(mapping.get("protocol") or "tcp")))
    return found


def _reaching(definition: Mapping[str, Any]) -> Iterator[str]:
    yield from (mode for mode, own in OWN_MODES.items() if definition.get(mode) not in own)
    for index, volume in enumerate(_items(definition, "volumes")):
        # An empty directory of the task's own has a name alone.
        if any(volume.get(kind) for kind in volume.keys() - {"name", "configuredAtLaunch"}):
            yield f"volumes.{index}"
    for index, container in enumerate(_items(definition, "containerDefinitions")):
        linux = container.get("linuxParameters")
        linux = linux if isinstance(linux, Mapping) else {}
        added = linux.get("capabilities")
        reaching = {
            "privileged": container.get("privileged"),
            "linuxParameters.devices": linux.get("devices"),
            "linuxParameters.capabilities.add": added.get("add") if isinstance(added, Mapping) else added,
            "dockerSecurityOptions": _loosening(container.get("dockerSecurityOptions")),
            "credentialSpecs": container.get("credentialSpecs"),
        }
        yield from (f"containerDefinitions.{index}.{loc}" for loc, value in reaching.items() if value)


def _loosening(options: Any) -> Any:
    """The options that may take a bound off."""
    return [option for option in options if option not in HARDENING] if isinstance(options, list) else options


def _items(definition: Mapping[str, Any], what: str) -> list[Mapping[str, Any]]:
    """The well formed items of one of its lists, the others as empty ones."""
    items = definition.get(what)
    return [item if isinstance(item, Mapping) else {} for item in (items if isinstance(items, list) else ())]


def environment(definition: Mapping[str, Any]) -> Sequence[str]:
    """The values of all environments in a task definition, whatever its shape."""
    return [str(pair.get("value", "")) for pair in _of_containers(definition, "environment")]


def _of_containers(definition: Mapping[str, Any], what: str) -> Iterator[Mapping[str, Any]]:
    """The items of one list of all its containers, if they are well formed."""
    containers = definition.get("containerDefinitions")
    for container in containers if isinstance(containers, list) else ():
        items = container.get(what) if isinstance(container, Mapping) else None
        yield from (item for item in (items if isinstance(items, list) else ()) if isinstance(item, Mapping))
