"""A tenant's own network and volumes, by blocking calls: they outlive its containers.

Raises the SDK's errors, which `engine` translates, and the errors that each function names.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from controlplane.errors import HeldByOthers, InvalidConfig, NameConflict, NotAvailableYet, Retryable, WaitsFor
from controlplane.ports import OWNER_LABEL, TENANT_ID_LABEL, Origin
from providers.compute.docker import dialect
from providers.compute.docker.container import shared_labels, shared_name
from providers.compute.docker.subnets import Network, SubnetPool, host_routes

TRIES = 32
"""Subnets that are tried before the attempt fails: others may take each of them first."""


def provide_volume(api: docker.APIClient, name: str, origin: Origin) -> None:
    """Atomic by name: a second create answers with the first volume. Raises NameConflict."""
    volume = api.create_volume(name, labels=shared_labels(origin))
    if (volume["Labels"] or {}).get(TENANT_ID_LABEL) != str(origin.tenant_id):
        raise NameConflict(f"volume {name} exists and belongs to somebody else", resource=name)


def provide_network(api: docker.APIClient, pool: SubnetPool, origin: Origin) -> str:
    """The id of the tenant's own network: the oldest with its labels. Raises NotAvailableYet if no subnet is free.

    Creating a network is not atomic by name: two at once make two, and then neither starts a container ("is ambiguous",
    seen on 20.10). So each network has a name of its own, and the later creator removes its own."""
    labels = [f"{name}={value}" for name, value in shared_labels(origin).items()]
    every = api.networks()
    own, made = dialect.bearing(labels, every), None
    if not own:
        made = _create_network(api, pool, origin, labels, _subnets(every))
        own = dialect.networks(api, labels)
    oldest, *others = sorted(own, key=lambda found: (found["Created"], found["Id"]))
    if made is not None and made in [other["Id"] for other in others]:
        remove(api.remove_network, made)
    return str(oldest["Id"])


def check_network(api: docker.APIClient, network: str, origin: Origin) -> None:
    """Names of tenants' networks are refused earlier; here a network is named by its id. A missing one shows at the
    start. Raises InvalidConfig."""
    try:
        details = api.inspect_network(network)
    except NotFound:
        return
    labels = details["Labels"] or {}
    if labels.get(TENANT_ID_LABEL, str(origin.tenant_id)) != str(origin.tenant_id):
        raise InvalidConfig(f"network {network} belongs to another tenant")
    if details["Driver"] == "host":
        raise InvalidConfig(f"network {network} is the host's; write `host`")


def forget(api: docker.APIClient, labels: Sequence[str]) -> None:
    """Remove the networks and volumes with the labels. Containers of others on a network are disconnected from it.

    Raises Retryable while a container with the labels uses one of them, and HeldByOthers if only containers of others
    still use a volume: everything else is gone then."""
    for network in dialect.networks(api, labels):
        _remove_network(api, network["Id"], labels)
    held = [
        f"volume {volume['Name']}, which {users} uses"
        for volume in dialect.volumes(api, labels)
        if (users := _users_left(api, volume["Name"], labels))
    ]
    if held:
        raise HeldByOthers(f"not removed: {'; '.join(held)}")


def labels_of_all(api: docker.APIClient, labels: Sequence[str]) -> list[Mapping[str, str]]:
    """All labels of the networks and volumes that have these labels."""
    volumes = dialect.volumes(api, labels)
    return [found["Labels"] or {} for found in (*dialect.networks(api, labels), *volumes)]


def remove(call: Any, name: str) -> None:
    try:
        call(name)
    except NotFound:
        return


def explanation(error: APIError) -> str:
    """Docker Engine's explanation in one line."""
    text = error.explanation or ""
    return " ".join((text.decode(errors="replace") if isinstance(text, bytes) else str(text)).split())


def _create_network(
    api: docker.APIClient, pool: SubnetPool, origin: Origin, labels: Sequence[str], in_use: Sequence[Network]
) -> str | None:
    """The id of a new network on a free subnet. None: meanwhile the tenant has one.

    Where to look first depends on the tenant, so tenants do not compete for a subnet, and two creators for one tenant
    do: the second is refused, and finds the first one's network."""
    name = f"{shared_name(origin)}-{secrets.token_hex(4)}"
    taken = [*in_use, *host_routes()]
    tried = 0
    for subnet in islice(pool.free(taken, origin.tenant_id.int), TRIES):
        ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
        try:
            made = api.create_network(name, driver="bridge", labels=shared_labels(origin), ipam=ipam)
        except APIError as error:
            if not dialect.subnet_taken(explanation(error)):
                raise
            if dialect.networks(api, labels):
                return None
            tried += 1
        else:
            return str(made["Id"])
    raise NotAvailableYet(
        f"no subnet is free for the tenant's network: LANDLORD_DOCKER_SUBNETS ({pool}) has {len(pool)}, "
        f"and Docker Engine's networks and this machine's routes take {'them' if not tried else 'the ones tried'}",
        waits_for=WaitsFor.NETWORK_POOL_EXHAUSTED,
    )


def _subnets(networks: Iterable[Mapping[str, Any]]) -> list[Network]:
    found = []
    for network in networks:
        for part in (network.get("IPAM") or {}).get("Config") or ():
            try:
                found.append(Network(part.get("Subnet") or "", strict=False))
            except ipaddress.AddressValueError:
                continue  # IPv6
    return found


def _remove_network(api: docker.APIClient, network: str, labels: Sequence[str]) -> None:
    try:
        remove(api.remove_network, network)
    except APIError:
        _empty(api, network, labels)
        remove(api.remove_network, network)


def _empty(api: docker.APIClient, network: str, labels: Sequence[str]) -> None:
    """Disconnect containers of others. Raises Retryable while one of ours is connected."""
    try:
        attached = api.inspect_network(network)["Containers"] or {}
        for container in attached:
            if _is_ours(api, container, labels):
                raise Retryable(f"container {container[:12]} still uses the tenant's network")
            remove(lambda name: api.disconnect_container_from_network(name, network, force=True), container)
    except NotFound:
        return


def _users_left(api: docker.APIClient, volume: str, labels: Sequence[str]) -> str:
    """Remove a volume. Returns the names of the containers of others that prevent it; empty: it is gone."""
    try:
        remove(api.remove_volume, volume)
    except APIError as error:
        if error.status_code != 409:
            raise
        users = api.containers(all=True, filters={"volume": volume})
        if not users or any(_is_ours(api, user["Id"], labels) for user in users):
            raise
        return ", ".join(sorted(name.removeprefix("/") for user in users for name in user["Names"][:1]))
    return ""


def _is_ours(api: docker.APIClient, container: str, labels: Sequence[str]) -> bool:
    try:
        found = api.inspect_container(container)["Config"]["Labels"] or {}
    except NotFound:
        return False
    wanted = dict(label.partition("=")[::2] for label in labels)
    return {name: found.get(name) for name in (OWNER_LABEL, TENANT_ID_LABEL)} == wanted
