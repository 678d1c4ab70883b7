"""As many replicas of the API as the machines of the cluster ask for: each has the same number, for its own HAProxy."""

import logging
from typing import Any

import ray
from ray.exceptions import RayError

from actors import nodes
from actors.options import API, APPLICATION, REPLICAS

logger = logging.getLogger(__name__)


class Replicas:
    """Tells Serve when machines have come or gone. Those replicas that are there stay."""

    def __init__(self) -> None:
        self._wanted = 0

    async def fit(self) -> int:
        """The number for the machines that are alive. If Serve cannot be told now, the next sweep does it."""
        wanted = REPLICAS * max(1, nodes.alive().get("alive", 1))
        if wanted != self._wanted:
            # Here, since Serve warns at its import.
            from ray.serve._private.common import DeploymentID  # noqa: PLC0415
            from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE  # noqa: PLC0415

            try:
                controller: Any = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
                await controller.update_deployment_replicas.remote(DeploymentID(API, APPLICATION), wanted)
            except (ValueError, RayError) as error:
                # The application is not deployed yet, or is just being deployed.
                logger.info("Serve takes no number of replicas now (%s)", type(error).__name__)
                return 0
            self._wanted = wanted
        return wanted
