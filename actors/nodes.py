"""Which nodes of the cluster our processes may run on.

`process`, `docker` on a local socket and the embedded Postgres are of one machine: the head's. With any of them every
process of ours that touches compute or rows is pinned there, so that a second node that joins changes nothing.
"""

from typing import Any

from sqlalchemy.engine import make_url

from controlplane.settings import Settings
from providers import registry

HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head node, one of it."""
SHARE = 0.0001
"""What one process takes of it: Ray's smallest."""
AT_HEAD: dict[str, Any] = {"resources": {HEAD: SHARE}}


def where(settings: Settings) -> dict[str, Any]:
    """Options of an actor or a replica. Raises SettingsError: an unknown provider."""
    return AT_HEAD if _one_machine(settings) else {}


def _one_machine(settings: Settings) -> bool:
    if settings.database_url is not None:
        host = make_url(settings.database_url.get_secret_value()).query.get("host", "")
        if str(host).startswith("/"):
            return True
    return registry.one_node(settings)
