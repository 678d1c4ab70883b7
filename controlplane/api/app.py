"""The application of one replica: routes, the layers around them, and everything with the same lifetime."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import Lifespan

from controlplane import tracing
from controlplane.api import failures, openapi
from controlplane.api.metrics import Metrics
from controlplane.api.middleware.body_limit import BodyLimit
from controlplane.api.middleware.deadline import Deadline
from controlplane.api.middleware.head import Head
from controlplane.api.middleware.request_log import Edge
from controlplane.api.readiness import Looks
from controlplane.api.replica import Parts, replica
from controlplane.api.request_counts import RequestCounts
from controlplane.api.routers import (
    admin,
    commands,
    docs,
    events,
    executions,
    health,
    logs,
    metrics,
    nodes,
    pause,
    providers,
    tenants,
    tokens,
)
from controlplane.api.shortcuts import Shortcuts, shortcuts
from controlplane.ports import ComputeProvider, Machines, TenantDirectory
from controlplane.settings import Settings

ROUTERS = (
    tenants.router,
    pause.router,
    commands.router,
    logs.router,
    executions.router,
    events.router,
    providers.router,
    nodes.router,
    tokens.router,
    admin.router,
    health.router,
    metrics.router,
    docs.router,
)

_DESCRIPTION = (
    "A control plane that gives every tenant its own compute. A client describes a tenant, and Landlord makes it so. "
    "Each change is stored before it is acknowledged (202). Errors are `application/problem+json`; branch on `code`."
)


def create_app(
    settings: Settings,
    *,
    database_url: str,
    directory: TenantDirectory,
    machines: Machines,
    compute: Mapping[str, ComputeProvider],
    workflows: Sequence[str],
    cluster_id: str,
    in_owner: Collection[str] = (),
) -> FastAPI:
    """The application. Nothing is opened here: the lifespan connects the database and makes the event feed, on the loop
    that serves.

    `compute`: the enabled compute providers by name. During a request the API calls only their verbs without network
    (and health and logs). `workflows`: names of the enabled engines. `cluster_id`: the cluster of this replica.
    `in_owner`: the engines that work in the tenant's own actor, for which no answer waits."""
    parts = Parts(settings, database_url, directory, machines, compute, workflows, cluster_id, in_owner)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tracing.begin(settings.otlp_endpoint, "api")
        async with replica(parts) as made:
            app.state.replica = made
            app.state.looks = Looks(made)
            app.state.metrics = Metrics(made, app.state.requests)
            yield
        if tracing.on():
            await asyncio.to_thread(tracing.finish)

    return bare_app(lifespan, settings.request_timeout_seconds)


def bare_app(lifespan: Lifespan[FastAPI] | None = None, request_timeout_seconds: float = 20.0) -> FastAPI:
    """Routes and layers without anything behind them: enough to write its OpenAPI document."""
    app = FastAPI(
        title="Landlord",
        version=version("landlord"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Spans and figures are our own (`tracing`, `metrics`). The framework would look for exporters at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    short = shortcuts()
    app.router.routes.extend(short)
    for router in ROUTERS:
        app.include_router(router)
    failures.install(app, ROUTERS)
    app.add_middleware(Deadline, seconds=request_timeout_seconds)
    app.add_middleware(BodyLimit)
    app.add_middleware(Head)
    app.add_middleware(Shortcuts, shortcuts=short, seconds=request_timeout_seconds)
    app.state.requests = RequestCounts()
    app.add_middleware(Edge, requests=app.state.requests)
    app.openapi = lambda: openapi.document(app, ROUTERS)  # type: ignore[method-assign]
    return app
