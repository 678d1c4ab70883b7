"""Where Podman's Docker API (seen on 4.3) differs from Docker Engine's, and what is true on both.

- Several label filters mean *one of* them for Podman's networks and volumes, so lists are filtered here again.
- The id in `info` is another one at each call. Podman is known by its machine and its storage instead.
- A taken name is answered with 500, not with 409, and a taken subnet in other words.
- Of several that start a container at once, one is told that its state is improper.
- HEALTHCHECK needs systemd on Podman's machine; without it, no check is ever made.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import docker
from docker.errors import APIError

NAME_TAKEN = "is already in use"


def identity(api: docker.APIClient) -> str:
    """The engine's own id. It stays for the life of its storage, and no other engine has it."""
    info = api.info()
    if "BuildahVersion" in info:
        return f"podman:{info['Name']}:{info['DockerRootDir']}"
    return str(info["ID"])


def containers(api: docker.APIClient, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    """All containers with all these labels, running or not."""
    return bearing(labels, api.containers(all=True, filters={"label": list(labels)}))


def networks(api: docker.APIClient, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    return bearing(labels, api.networks(filters={"label": list(labels)}))


def volumes(api: docker.APIClient, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    return bearing(labels, api.volumes(filters={"label": list(labels)})["Volumes"] or ())


def name_taken(error: APIError, explanation: str) -> bool:
    return error.status_code == 409 or (error.status_code == 500 and NAME_TAKEN in explanation)


def subnet_taken(explanation: str) -> bool:
    return "overlap" in explanation.lower() or "already used on the host or by another config" in explanation


def bearing(labels: Sequence[str], found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those with all these labels."""
    wanted = {tuple(label.partition("=")[::2]) for label in labels}
    return [one for one in found if wanted <= set((one["Labels"] or {}).items())]
