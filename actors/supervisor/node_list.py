"""What the supervisor says about each node of its cluster, for `GET /v1/nodes`."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ray._private import state as ray_state

from actors.naming import name_of_tenant
from actors.nodes import Node


async def live_actors(found: Sequence[Node], pinned: bool, live: int) -> Mapping[str, int]:
    """Live tenant actors by the id of their node. Ray is asked only if they may be on several. `pinned`: all of ours
    run on the head and where `landlord` has joined a machine, see `nodes.where`; `live`: as many there are."""
    able = [node for node in found if _runs_actors(node, pinned)]
    if len(able) > 1:
        return await asyncio.to_thread(tenants_actors)
    return {node.id: live for node in able}


def node_list(
    found: Sequence[Node],
    *,
    pinned: bool,
    actors: Mapping[str, int],
    ceiling: int,
    platforms: Mapping[str, Mapping[str, str]],
    tenants: Mapping[str, Mapping[str, int]],
) -> list[dict[str, Any]]:
    """One document for each node. `platforms`: of each the identities by provider, of the providers of one machine.
    `tenants`: on each of them."""
    return [
        {
            "name": node.name,
            "address": node.address,
            "alive": node.alive,
            "labels": dict(node.labels),
            "providers": {
                name: {"engine": identity, "tenants": tenants.get(node.name, {}).get(name, 0)}
                for name, identity in sorted(platforms.get(node.name, {}).items())
            },
            "live_actors": actors.get(node.id, 0),
            "ceiling": ceiling if _runs_actors(node, pinned) else 0,
        }
        for node in found
    ]


def tenants_actors() -> Counter[str]:
    """The number of live tenant actors by the id of their node. Blocks: Ray's head sends one entry for each."""
    return Counter({node: len(names) for node, names in living().items()})


def living() -> dict[str, list[str]]:
    """The names of the tenants with live actors by the id of their node. Blocks, as above."""
    found = defaultdict[str, list[str]](list)
    for one in ray_state.actors(actor_state_name="ALIVE").values():
        name = name_of_tenant(one["Name"])
        if name is not None:
            found[one["Address"]["NodeID"]].append(name)
    return found


def _runs_actors(node: Node, pinned: bool) -> bool:
    return node.alive and (node.head or node.joined or not pinned)
