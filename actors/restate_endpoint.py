"""The endpoint for Restate: the lifecycle's handler as a Serve deployment of its own, under `/restate`.

Deployed if Restate is set up. Its replicas hold no state. A request lasts as long as one step, so a redeploy waits for
steps and not for executions. `/restate/v1` is the registered endpoint: journals in flight fit that number.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from ray import serve

from actors import nodes
from actors.options import ENDPOINT_CONNECTIONS
from actors.runtime import Runtime, build_runtime
from actors.shared import SharedState
from controlplane.api.middleware.body_limit import BodyLimit
from controlplane.api.middleware.deadline import Deadline
from controlplane.api.middleware.request_log import Edge
from controlplane.settings import Settings
from controlplane.steps.attempts import StepAttempts
from providers import registry
from providers.workflow.restate.provider import RestateWorkflow
from providers.workflow.restate.status import JOURNAL

APPLICATION = "restate"
ROUTE = "/restate"
MAX_ONGOING_REQUESTS = 200
LARGEST_JOURNAL = 4 * 1024 * 1024
"""Restate sends the whole journal with each request. The journal of a day of probes of a tenant's health has about 300
kB."""


@serve.deployment(
    name="restate-endpoint",
    num_replicas=1,
    max_ongoing_requests=MAX_ONGOING_REQUESTS,
    graceful_shutdown_timeout_s=30,
)
@serve.ingress()
class RestateEndpoint:
    """One replica. Restate may repeat any request safely: attempts are recorded, effects pass the gate."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        return endpoint(
            build_runtime(actor="restate-endpoint", pool=ENDPOINT_CONNECTIONS, share=SharedState, node=nodes.here())
        )


def endpoint(runtime: Runtime) -> FastAPI:
    """The SDK's application refuses the ASGI lifespan, so it is mounted in one that has it, with the API's limits. Its
    answers begin before the step does, so the deadline bounds none of them."""
    from providers.workflow.restate.app import build_app  # noqa: PLC0415  # with the SDK, which nobody else needs

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await runtime.close()

    settings = runtime.settings
    attempts = StepAttempts(
        runtime.store,
        runtime.steps,
        runtime.clock,
        max_attempts=settings.step_max_attempts,
        engine=RestateWorkflow.name,
    )
    keys = [settings.restate_identity_key] if settings.restate_identity_key else []
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.mount(f"/{JOURNAL}", build_app(attempts, identity_keys=keys))
    app.add_middleware(Deadline, seconds=settings.request_timeout_seconds)
    app.add_middleware(BodyLimit, most=LARGEST_JOURNAL)
    app.add_middleware(Edge)
    return app


def deploy(settings: Settings) -> None:
    """Deploy the endpoint if Restate is set up; else remove it. Idempotent."""
    if RestateWorkflow.name in registry.enabled_workflow_names(settings):
        options = {"num_cpus": 0, **nodes.where(settings)}
        # The decorator made a Deployment of it.
        bound = RestateEndpoint.options(ray_actor_options=options).bind()  # type: ignore[attr-defined]
        serve.run(bound, name=APPLICATION, route_prefix=ROUTE, blocking=False)
    elif APPLICATION in serve.status().applications:
        serve.delete(APPLICATION)
