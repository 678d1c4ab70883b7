"""How many tenant actors may live on this node: work waits durably, it never fails."""

import psutil

ACTOR_BYTES = 100 * 2**20
"""An actor is a process: 94 MB resident on stock Ray (measured, FACTS)."""

CONNECTIONS_PER_ACTOR = 2
RESERVED_CONNECTIONS = 40
"""For Serve replicas, the supervisor, step workers, people."""


def ceiling(max_connections: int, memory_bytes: int | None = None) -> int:
    """min(memory, database connections − reserve), at least 1. `memory_bytes`: of the machine; a quarter is kept back
    for everything else."""
    memory = psutil.virtual_memory().total if memory_bytes is None else memory_bytes
    by_memory = int(memory * 0.75) // ACTOR_BYTES
    by_connections = (max_connections - RESERVED_CONNECTIONS) // CONNECTIONS_PER_ACTOR
    return max(1, min(by_memory, by_connections))
