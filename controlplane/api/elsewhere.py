"""Tenants whose compute is on another machine of the cluster than the one that answers."""

from contextlib import suppress

from controlplane.api.replica import Replica
from controlplane.errors import LandlordError
from controlplane.model import Placement
from controlplane.persistence import nodes
from controlplane.persistence.database import single
from controlplane.ports import ComputeProvider, RemoteCompute


async def remote(here: Replica, provider: ComputeProvider, placement: Placement) -> RemoteCompute | None:
    """The provider on the machine that alone reaches the resource. None: `provider` reaches it from here."""
    if not provider.one_node or placement.node is None:
        return None
    async with single(here.database) as connection:
        known = await nodes.known(connection)
    there = next((node for node in known if node.name == placement.node), None)
    if there is None or all(node.head for node in known) or (there.head and not there.alive):
        return None
    with suppress(LandlordError):
        if await provider.identity() == placement.platform_identity:
            return None
    return here.machines.compute(there.name, head=there.head, provider=placement.platform)
