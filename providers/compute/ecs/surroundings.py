"""What stands around a service: load balancers, registries, Service Connect, capacity providers.

Checked against AWS's own model, and against what Landlord does: an update runs two services side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from providers.aws.clients import input_shape
from providers.compute.ecs.shapes import misfits

MEMBERS: Mapping[str, str] = {
    "capacity_provider_strategy": "capacityProviderStrategy",
    "load_balancers": "loadBalancers",
    "service_registries": "serviceRegistries",
    "service_connect": "serviceConnectConfiguration",
    "health_check_grace_period_seconds": "healthCheckGracePeriodSeconds",
}
"""Our field → the member of `CreateService`."""
UNSUPPORTED: Mapping[str, Mapping[str, str]] = {
    "load_balancers": {
        "loadBalancerName": "a classic load balancer cannot serve two versions of a tenant; name a targetGroupArn",
        "advancedConfiguration": "Landlord changes versions itself, so ECS's own blue/green rollouts are not available",
    },
    "service_connect": {
        "services": "two versions of a tenant run side by side, and a namespace has each name once; use "
        "service_registries or load_balancers to be found",
        "logConfiguration": "nothing is logged without services; leave it out",
    },
}


class Surrounded(Protocol):
    """What of an EcsConfig is looked at here."""

    @property
    def launch_type(self) -> str | None: ...
    @property
    def capacity_provider_strategy(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def load_balancers(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def service_registries(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def service_connect(self) -> Mapping[str, Any] | None: ...
    @property
    def health_check_grace_period_seconds(self) -> int | None: ...
    @property
    def definition(self) -> Mapping[str, Any] | None: ...


def request(config: Surrounded) -> dict[str, Any]:
    """The members of `CreateService` that the config has."""
    given = {member: getattr(config, field) for field, member in MEMBERS.items()}
    return {member: value for member, value in given.items() if value not in (None, [])}


def named(config: Surrounded) -> Iterator[tuple[str, Any]]:
    """Where a config names what others may share, and what it names: target groups, registries, namespaces."""
    for index, balancer in enumerate(config.load_balancers):
        yield f"load_balancers.{index}.targetGroupArn", balancer.get("targetGroupArn")
    for index, registry in enumerate(config.service_registries):
        yield f"service_registries.{index}.registryArn", registry.get("registryArn")
    if config.service_connect is not None and config.service_connect.get("namespace") is not None:
        yield "service_connect.namespace", config.service_connect["namespace"]


def problems(config: Surrounded) -> list[dict[str, str]]:
    found = []
    for field, member in MEMBERS.items():
        value = getattr(config, field)
        if value not in (None, []):
            found += misfits(input_shape("CreateService").members[member], value, field)
    found += [{"loc": loc, "message": message} for loc, message in _unsupported(config)]
    if config.launch_type is not None and config.capacity_provider_strategy:
        found.append({"loc": "launch_type", "message": "leave this out with capacity_provider_strategy: it says where"})
    if config.health_check_grace_period_seconds is not None and not config.load_balancers:
        found.append({"loc": "health_check_grace_period_seconds", "message": "is for load_balancers, which has none"})
    for index, balancer in enumerate(config.load_balancers):
        if not balancer.get("targetGroupArn"):
            found.append({"loc": f"load_balancers.{index}.targetGroupArn", "message": "Field required"})
    return found


def _unsupported(config: Surrounded) -> Iterator[tuple[str, str]]:
    for index, balancer in enumerate(config.load_balancers):
        for member, message in UNSUPPORTED["load_balancers"].items():
            if balancer.get(member) is not None:
                yield f"load_balancers.{index}.{member}", message
    for member, message in UNSUPPORTED["service_connect"].items():
        if (config.service_connect or {}).get(member) is not None:
            yield f"service_connect.{member}", message


def missing_ports(config: Surrounded) -> list[dict[str, str]]:
    """Ports that no container of an inline definition maps, if all is well formed. ECS says so only when the service is
    made."""
    if config.definition is None:
        return []
    mapped = {
        (container.get("name"), mapping.get("containerPort"))
        for container in config.definition.get("containerDefinitions", ())
        for mapping in container.get("portMappings") or ()
    }
    return [
        {
            "loc": f"{field}.{index}.containerPort",
            "message": f"no portMappings of a container {one.get('containerName')!r} have the port "
            f"{one.get('containerPort')}",
        }
        for field in ("load_balancers", "service_registries")
        for index, one in enumerate(getattr(config, field))
        if (field == "load_balancers" or one.get("containerName") is not None)
        and (one.get("containerName"), one.get("containerPort")) not in mapped
    ]
