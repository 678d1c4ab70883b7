"""The nodes of the cluster."""

from fastapi import APIRouter
from starlette.responses import Response

from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers
from controlplane.api.replica import Here
from controlplane.api.schemas.installation import NodesOut
from controlplane.api.security import Overseer
from controlplane.persistence.nodes import nodes

router = APIRouter(prefix="/v1/nodes", tags=["nodes"])


@router.get(
    "", operation_id="list_nodes", response_model=NodesOut, responses=answers(NodesOut, "forbidden", status=200)
)
async def list_nodes(here: Here, _: Overseer) -> Response:
    """List the machines of the cluster, as its supervisor saw them at its last sweep. The token must reach all
    tenants."""
    known = await nodes(here.database, here.parts.cluster_id)
    items = [{**node, "draining": known.draining and node["alive"]} for node in known.found]
    found = NodesOut.model_validate({"items": items, "checked_at": known.at})
    return Response(found.model_dump_json(), media_type=JSON)
