"""A machine as a node of its cluster: its name, and the resource by which Ray finds it."""

import re
import socket

from controlplane.settings import Settings

NAME_LABEL = "landlord/node"
"""Ray's label with the name. Not Ray's own name of a node: Serve takes that for its address."""


def node_name(settings: Settings) -> str:
    """LANDLORD_NODE_NAME, or the machine's own name without what cannot be in the name of a node."""
    if settings.node_name is not None:
        return settings.node_name
    allowed = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()).strip("._-")
    return allowed[:63].rstrip("._-") or "node"


def resource_of(name: str) -> str:
    """Ray's resource that only the node of this name has, one unit of it."""
    return f"machine:{name}"
