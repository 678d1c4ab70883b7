"""Tenants whose compute is on another machine of the cluster than the one that answers."""

from contextlib import suppress

from controlplane.api.replica import Replica
from controlplane.errors import LandlordError, Refused
from controlplane.model import Placement
from controlplane.persistence import nodes
from controlplane.persistence.database import single
from controlplane.ports import ComputeProvider


async def require_here(here: Replica, provider: ComputeProvider, placement: Placement) -> None:
    """Raises Refused if the resource is on another machine, which alone reaches it."""
    if not provider.one_node or placement.node is None:
        return
    async with single(here.database) as connection:
        known = await nodes.known(connection)
    there = next((node for node in known if node.name == placement.node), None)
    if there is None or all(node.head for node in known) or (there.head and not there.alive):
        return
    with suppress(LandlordError):
        if await provider.identity() == placement.platform_identity:
            return
    detail = f"the tenant runs on node {there.name}: ask the API on that machine, {there.address}"
    raise Refused(detail, code="unavailable", status=503)
