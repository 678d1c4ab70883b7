"""How our actors are created: the options that the design rests on, in one place."""

from typing import Any

from actors.naming import NAMESPACE, SUPERVISOR, shared_actor, tenant_actor
from actors.nodes import AT_HEAD

MAX_CALLS = 1000
"""Concurrent calls of an async actor: wake-ups are many and short, reads never wait behind work."""

CONNECTIONS_PER_ACTOR = 2
"""Of a tenant's actor, to the database."""


def for_tenant(name: str, where: dict[str, Any]) -> dict[str, Any]:
    """Detached and found by name. Never restarted by Ray: a crash-looping tenant must not restart for ever, so the
    supervisor brings it back. No CPU is reserved, no runtime_env given (that would start the worker the slow way).
    `where`: as `nodes.where` says."""
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
    """Restarted for ever: it is the safety net. Where the head is, whose loss is the cluster's anyway."""
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


def for_shared(provider: str) -> dict[str, Any]:
    """Found by name, made by whoever needs it first, and brought back by Ray: who uses it has other work."""
    return {**for_supervisor(), "name": shared_actor(provider)}
