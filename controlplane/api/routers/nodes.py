"""The nodes of the cluster, and their drain."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers
from controlplane.api.replica import Here
from controlplane.api.schemas.installation import NodeDrainOut, NodesOut
from controlplane.api.security import Admin, Overseer
from controlplane.errors import Refused
from controlplane.model import NodeDrain
from controlplane.persistence import drains
from controlplane.persistence.nodes import nodes
from controlplane.persistence.tokens import Token

router = APIRouter(prefix="/v1/nodes", tags=["nodes"])


@router.get(
    "", operation_id="list_nodes", response_model=NodesOut, responses=answers(NodesOut, "forbidden", status=200)
)
async def list_nodes(here: Here, _: Overseer) -> Response:
    """List the machines of the cluster, as its supervisor saw them at its last sweep. The token must reach all
    tenants."""
    known = await nodes(here.database, here.parts.cluster_id)
    drained = await drains.drained(here.database)
    items = [
        {**node, "draining": (known.draining and node["alive"]) or node["name"] in drained} for node in known.found
    ]
    found = NodesOut.model_validate({"items": items, "checked_at": known.at})
    return Response(found.model_dump_json(), media_type=JSON)


@router.post(
    "/{name}/drain",
    operation_id="drain_node",
    response_model=NodeDrainOut,
    responses=answers(NodeDrainOut, "forbidden", "node_not_found", status=200),
)
async def drain_node(
    name: str,
    here: Here,
    caller: Admin,
    tenants: Annotated[bool, Query(description="Also move its tenants to other nodes, one after the other.")] = False,
) -> Response:
    """Start no actor and place no tenant on the node any more; its actors leave once they are at rest. Draining it
    twice is success."""
    return await _drain(name, here, caller, NodeDrain.TENANTS if tenants else NodeDrain.ACTORS)


@router.post(
    "/{name}/undrain",
    operation_id="undrain_node",
    response_model=NodeDrainOut,
    responses=answers(NodeDrainOut, "forbidden", "node_not_found", status=200),
)
async def undrain_node(name: str, here: Here, caller: Admin) -> Response:
    """End the drain of the node: it gets actors and tenants again. Tenants that were moved stay where they are."""
    return await _drain(name, here, caller, None)


async def _drain(name: str, here: Here, caller: Token, gives_up: NodeDrain | None) -> Response:
    if not await drains.drain(here.database, name, gives_up, actor=caller.name, token_id=caller.id):
        raise Refused("the cluster has no node of this name", code="node_not_found", status=404)
    return Response(NodeDrainOut(name=name, gives_up=gives_up).model_dump_json(), media_type=JSON)
