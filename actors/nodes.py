"""The nodes of the cluster on which our processes may run.

`process`, `docker` on a local socket and the embedded Postgres belong to one machine: the head's. With any of them
every process of ours that touches compute or rows is pinned there, so that nothing changes if a second node joins.
"""

from collections.abc import Mapping
from typing import Any

import ray

from controlplane.errors import SettingsError
from controlplane.persistence.address import address
from controlplane.settings import Settings
from providers import registry

HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head node, one unit of it."""
SHARE = 0.0001
"""The share of it that one process takes: Ray's smallest."""
AT_HEAD: dict[str, Any] = {"resources": {HEAD: SHARE}}


def where(settings: Settings) -> dict[str, Any]:
    """Options of an actor or a replica. Raises SettingsError for an unknown provider."""
    return AT_HEAD if _one_machine(settings) else {}


def refuse_several(settings: Settings, nodes: int) -> None:
    """Raises SettingsError if the database is this machine's own and the cluster has more than one node."""
    if nodes > 1 and _socket_database(settings):
        raise SettingsError(
            f"LANDLORD_DATABASE_URL: the embedded Postgres serves one node and this cluster has {nodes};"
            " set it to a Postgres that every node reaches"
        )


def alive() -> Mapping[str, int]:
    """How many machines of the cluster are `alive`, and how many `dead` ones Ray remembers. Blocks for some
    milliseconds. Outside of a cluster there are none."""
    if not ray.is_initialized():  # else the question would start one
        return {}
    states = [bool(node["Alive"]) for node in ray.nodes()]  # type: ignore[no-untyped-call]
    return {"alive": states.count(True), "dead": states.count(False)}


def _one_machine(settings: Settings) -> bool:
    return _socket_database(settings) or registry.one_node(settings)


def _socket_database(settings: Settings) -> bool:
    if settings.database_url is None:
        return False
    return address(settings.database_url.get_secret_value()).on_this_machine
