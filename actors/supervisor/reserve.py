"""The database connections that tenants' actors must leave to everything else: the sum of all other pools."""

from collections.abc import Collection

from actors.options import ENDPOINT_CONNECTIONS, REPLICAS, SUPERVISOR_CONNECTIONS
from actors.step_worker import CONNECTIONS as WORKER_CONNECTIONS
from actors.step_worker import STEP_FUNCTIONS, WORKERS
from controlplane.api.connections import CONNECTIONS as REPLICA_CONNECTIONS
from providers.workflow.restate.provider import RestateWorkflow

DEPLOYS = 2
"""While `up` deploys again, old replicas answer their last requests beside the new ones."""
SUPERUSERS = 3
"""Postgres keeps so many from us."""
PEOPLE = 5
"""`up`, `drain`, `doctor`, and whoever looks with psql."""


def reserved(engines: Collection[str], machines: int = 1) -> int:
    """Connections, with these workflow engines enabled. `machines`: as many are in the cluster."""
    replicas = DEPLOYS * REPLICAS * machines * REPLICA_CONNECTIONS
    connections = replicas + SUPERVISOR_CONNECTIONS + SUPERUSERS + PEOPLE
    if RestateWorkflow.name in engines:
        connections += DEPLOYS * ENDPOINT_CONNECTIONS
    if STEP_FUNCTIONS in engines:
        connections += WORKERS * WORKER_CONNECTIONS
    return connections
