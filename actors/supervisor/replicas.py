"""As many replicas of the API as the machines of the cluster ask for: each has the same number, for its own HAProxy."""

import logging
from typing import Any

import ray
from ray.exceptions import RayError

from actors import nodes
from actors.options import API, APPLICATION, REPLICAS

logger = logging.getLogger(__name__)


class Replicas:
    """Tells Serve when machines have come or gone. Those replicas that are there stay.

    While Serve counts replicas of a machine that is gone, it is told nothing: of fewer ones it would stop those of a
    machine that lives, whose HAProxy would have none.
    """

    def __init__(self) -> None:
        self._wanted = 0

    async def fit(self) -> int:
        """The number for the machines that are alive. If Serve cannot be told now, the next sweep does it."""
        alive = {node.id for node in nodes.known() if node.alive}
        wanted = REPLICAS * max(1, len(alive))
        if wanted != self._wanted:
            # Here, since Serve warns at its import.
            from ray.serve._private.common import DeploymentID  # noqa: PLC0415
            from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE  # noqa: PLC0415

            try:
                controller: Any = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
                if gone := _nodes(await controller.get_serve_instance_details.remote()) - alive:
                    logger.info("Serve still counts replicas on %d machines that are gone", len(gone))
                    return self._wanted
                await controller.update_deployment_replicas.remote(DeploymentID(API, APPLICATION), wanted)
            except (ValueError, RayError) as error:
                # The application is not deployed yet, or is just being deployed.
                logger.info("Serve takes no number of replicas now (%s)", type(error).__name__)
                return 0
            self._wanted = wanted
        return wanted


def _nodes(details: dict[str, Any]) -> set[str]:
    """Ray's ids of the machines on which Serve counts a replica that runs."""
    deployments = details["applications"].get(APPLICATION, {}).get("deployments", {})
    replicas = deployments.get(API, {}).get("replicas", ())
    return {one["node_id"] for one in replicas if one["state"] == "RUNNING"}
