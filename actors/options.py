"""The options of our actors, on which the design rests, in one place."""

from typing import Any

from actors.naming import NAMESPACE, SUPERVISOR, outpost_actor, shared_actor, tenant_actor
from actors.nodes import AT_HEAD, Node, at

MAX_CALLS = 1000
"""Concurrent calls of an async actor: wake-ups are many and short, and reads never wait behind work."""

APPLICATION, API = "landlord", "api"
"""Names in Serve of the application and of its deployment."""

REPLICAS = 2
"""Replicas of the API on each machine."""

SUPERVISOR_CONNECTIONS = 5
"""Connections of the supervisor to the database, one of them to listen."""

OUTPOST_CONNECTIONS = 3
"""Connections to the database of the sweep of a machine that is not the head."""

ENDPOINT_CONNECTIONS = 7
"""Connections of the endpoint for Restate to the database."""

CONNECTIONS_PER_ACTOR = 1
"""Connections of a tenant's actor to the database. Its statements are short, and most of them need the tenant's row: a
second connection would wait for the first."""


def for_tenant(name: str, where: dict[str, Any]) -> dict[str, Any]:
    """Detached and found by name. Ray never restarts it: a crash-looping tenant must not restart for ever, so the
    supervisor brings it back. It reserves no CPU and has no runtime_env (that would start the worker the slow way).
    `where`: from `nodes.where`."""
    return {
        **where,
        "name": tenant_actor(name),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": MAX_CALLS,
    }


def for_supervisor() -> dict[str, Any]:
    """Restarted for ever: it is the safety net. It runs on the head, whose loss ends the cluster anyway."""
    return {
        **AT_HEAD,
        "name": SUPERVISOR,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": MAX_CALLS,
    }


def for_outpost(node: Node) -> dict[str, Any]:
    """On that machine or nowhere. Ray does not restart it: the supervisor's sweep makes a missing one."""
    return {**for_supervisor(), "max_restarts": 0, "resources": {}, **at(node), "name": outpost_actor(node.name)}


def for_shared(provider: str) -> dict[str, Any]:
    """Found by name, made by its first user, and brought back by Ray: its users have other work."""
    return {**for_supervisor(), "name": shared_actor(provider)}
