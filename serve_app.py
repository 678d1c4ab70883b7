"""The composition root, and nothing else: settings → directory → create_app → bind().

`python -m serve_app deploy` runs in the environment that `landlord up` made, deploys the Serve application and starts
the supervisor, and returns. `serve_app:application` is for a Ray that somebody else starts and deploys to, as KubeRay
does (deploy/kuberay).
"""

import asyncio
import os
import sys
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import GetTimeoutError, RayActorError
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from actors import nodes, restate_endpoint, step_worker
from actors.directory import RayDirectory
from actors.machines import RayMachines
from actors.naming import NAMESPACE, SUPERVISOR
from actors.options import API, APPLICATION, REPLICAS
from actors.runtime import Identity, database_url
from actors.shared import SharedState
from actors.supervisor.actor import ensure_supervisor
from controlplane.api.app import create_app
from controlplane.errors import SettingsError
from controlplane.local import logs
from controlplane.local.hardening import hide
from controlplane.persistence import bootstrap
from controlplane.settings import Settings, load_settings
from providers import registry

MAX_ONGOING_REQUESTS = 2500
"""Per replica. Serve's default is 5; overload is answered by the app, not by a queue in front of it."""

SUPERVISOR_SECONDS = 10
"""One that does not say in this time which build it is of is replaced as well."""


@serve.deployment(
    name=API,
    num_replicas=REPLICAS,
    max_ongoing_requests=MAX_ONGOING_REQUESTS,
    health_check_period_s=5,
    graceful_shutdown_timeout_s=10,
    # The API writes its own line for each request. Serve's would go to two more files; it is made, and dropped, unless
    # the level keeps Serve from making it.
    logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
)
@serve.ingress()
class Api:
    """One Serve replica: the HTTP API, and a directory to the tenants' actors."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        hide()
        settings = load_settings()
        logs.configure(settings, "api")
        return create_app(
            settings,
            database_url=database_url(settings),
            directory=RayDirectory(),
            machines=RayMachines(),
            compute=registry.enabled_compute(settings, SharedState),
            workflows=registry.enabled_workflow_names(settings),
            cluster_id=Identity.from_environment().cluster_id,
            in_owner=registry.in_owner(settings),
        )

    async def check_health(self) -> None:
        """Called by Serve every few seconds: brings a missing supervisor back. Ray's call waits for the head, and our
        loop does not."""
        await asyncio.to_thread(ensure_supervisor)


def application(_: dict[str, str]) -> serve.Application:
    """Prepares the database and registers this cluster, under the id that the environment of all its nodes has. Serve
    calls it on one of them, once for each deployment; a replica brings the supervisor. For the embedded engine only.

    Raises SettingsError."""
    settings = load_settings()
    identity = Identity.from_environment()
    if settings.admin_token is None:
        raise SettingsError("LANDLORD_ADMIN_TOKEN: there is no home here that could keep one; set it")
    if others := set(registry.enabled_workflow_names(settings)) - {registry.FALLBACK}:
        raise SettingsError(f"{', '.join(sorted(others))}: only `landlord up` starts what this engine calls; unset it")
    prepared = bootstrap.prepare(
        database_url(settings),
        home=f"ray@{identity.cluster_id}",
        build=identity.build,
        admin_token=settings.admin_token.get_secret_value(),
        cluster_id=identity.cluster_id,
    )
    asyncio.run(prepared)
    return _bound(settings)


def deploy() -> None:
    """Deploy the application and the supervisor into the running cluster. A supervisor of another build is replaced."""
    settings = load_settings()
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), namespace=NAMESPACE, log_to_driver=False)
    nodes.refuse_several(settings, sum(node["Alive"] for node in ray.nodes()))
    _replace_old_supervisor(Identity.from_environment().build)
    ensure_supervisor()
    serve.start(proxy_location="EveryNode", http_options=HTTPOptions(host="127.0.0.1", port=settings.port))
    # The supervisor changes the number of replicas when machines come and go.
    scaled = not settings.alone
    serve.run(_bound(settings), name=APPLICATION, route_prefix="/", blocking=False, external_scaler_enabled=scaled)
    restate_endpoint.deploy(settings)
    step_worker.deploy(settings, Identity.from_environment().build)


def _bound(settings: Settings) -> serve.Application:
    if settings.alone:
        return Api.options(ray_actor_options={"num_cpus": 0, **nodes.where(settings)}).bind()
    # Each machine has as many replicas as one that is alone, for its own HAProxy.
    machines = nodes.alive()["alive"]
    counts = {"num_replicas": REPLICAS * machines, "max_replicas_per_node": REPLICAS}
    return Api.options(ray_actor_options={"num_cpus": 0}, **counts).bind()


def _replace_old_supervisor(build: str) -> None:
    try:
        supervisor: Any = ray.get_actor(SUPERVISOR, namespace=NAMESPACE)
    except ValueError:
        return
    try:
        if ray.get(supervisor.describe.remote(), timeout=SUPERVISOR_SECONDS)["build"] == build:
            return
    except (RayActorError, GetTimeoutError):
        pass  # its head was lost, and Ray is starting it again
    ray.kill(supervisor)


if __name__ == "__main__":
    if sys.argv[1:] != ["deploy"]:
        sys.exit("usage: python -m serve_app deploy")
    deploy()
