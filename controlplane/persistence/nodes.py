"""The nodes of a cluster, as its supervisor left them with the cluster's row at its last sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ClusterState
from controlplane.persistence import tables
from controlplane.persistence.database import single


@dataclass(frozen=True, slots=True)
class Nodes:
    """`found`: a document for each node, from `actors.supervisor.node_list`. `at`: when the supervisor left them, as
    ISO 8601; None: it has not. `draining`: the whole cluster drains."""

    found: Sequence[Mapping[str, Any]]
    at: str | None
    draining: bool


async def nodes(database: AsyncEngine, cluster_id: str) -> Nodes:
    """Of this cluster. A supervisor of a release before leaves no list: then none is found."""
    clusters = tables.clusters.c
    left = (clusters.figures["node_list"].label("found"), clusters.figures["at"].label("at"))
    async with single(database) as connection:
        row = (await connection.execute(select(clusters.state, *left).where(clusters.id == cluster_id))).one_or_none()
    if row is None or row.found is None:
        return Nodes((), None, draining=False)
    return Nodes(row.found, row.at, draining=row.state == ClusterState.DRAINING)
