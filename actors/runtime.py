"""The parts of one actor process: settings, database, providers, steps. Made lazily on the actor's own loop."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane import tracing
from controlplane.clock import RowClock
from controlplane.errors import SettingsError
from controlplane.failpoints import Failpoints
from controlplane.lifecycle.owner_state import Policy
from controlplane.local import logs
from controlplane.local.build import build_id
from controlplane.local.hardening import hide
from controlplane.persistence.database import open_database
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.ports import ComputeProvider, StepRunner, WorkflowEnvironment, WorkflowProvider
from controlplane.settings import Settings, load_settings
from controlplane.steps.calls import LongCalls
from controlplane.steps.platforms import Platforms
from controlplane.steps.probe import HealthProber
from controlplane.steps.run import Steps
from controlplane.steps.upkeep import Upkeep
from providers import registry
from providers.registry import Enabled

logger = logging.getLogger(__name__)

INTERNAL = "LANDLORD_INTERNAL_"

PART_SECONDS = 6.0
"""Longer than an engine waits for its effects."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The cluster start that this process belongs to, passed down by `up`, and the build of its code. The build is its
    own, since workers outlive upgrades of the environment that they inherit."""

    cluster_id: str
    build: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Identity":
        environ = os.environ if environ is None else environ
        try:
            return cls(environ[f"{INTERNAL}CLUSTER_ID"], build_id())
        except KeyError as missing:
            raise SettingsError(f"{missing.args[0]} is not set: start the control plane with `landlord up`") from None


def database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise SettingsError("LANDLORD_DATABASE_URL is not set here: start the control plane with `landlord up`")
    return settings.database_url.get_secret_value()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Shared by all code in one actor process, on one event loop."""

    settings: Settings
    identity: Identity
    database: AsyncEngine
    store: PostgresExecutionStore
    clock: RowClock
    compute: Enabled[ComputeProvider]
    workflow: Enabled[WorkflowProvider]
    prober: HealthProber
    steps: Steps
    upkeep: Upkeep
    policy: Policy
    node: str | None = None
    """The node that this process runs on, if it was told."""

    def node_of(self, provider: str, before: str | None) -> str | None:
        """The node of a resource that this compute provider shows us: ours, if its platform is of one machine.
        `before`: what is known already, in case that nobody has told us ours."""
        if not self.compute[provider].one_node:
            return None
        return before if self.node is None else self.node

    async def close(self) -> None:
        """Close all parts, each for PART_SECONDS at most. A part that hangs or fails is logged, and the others are
        closed all the same. Never raises."""
        engines = [self._closed(type(engine).__name__, engine.close()) for engine in self.workflow.built]
        await asyncio.gather(*engines)  # first: their executions still use the platforms and the database
        platforms = [self._closed(type(platform).__name__, platform.close()) for platform in self.compute.built]
        await asyncio.gather(*platforms, self._closed("prober", self.prober.close()))
        await self._closed("database", self.database.dispose())
        if tracing.on():
            await self._closed("traces", asyncio.to_thread(tracing.finish))

    @staticmethod
    async def _closed(part: str, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing, name=f"close {part}")
        done, _ = await asyncio.wait({task}, timeout=PART_SECONDS)
        if not done:
            task.cancel()
            logger.warning("%s does not close within %g s; it is left", part, PART_SECONDS)
        elif not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("%s does not close: %s", part, type(error).__name__)


def build_runtime(
    *,
    actor: str,
    pool: int,
    run_step: StepRunner | None = None,
    share: Callable[[str], Any] | None = None,
    environ: Mapping[str, str] | None = None,
    node: str | None = None,
) -> Runtime:
    """Build the runtime. Raises SettingsError. `actor`: its name in the audit trail; `pool`: most database connections
    of this process; `run_step`: for a tenant's owner only, since no other process runs steps for an engine that runs in
    the owner; `share`: as `registry.enabled_compute` takes it."""
    hide()
    settings = load_settings(environ)
    if environ is None:
        # Otherwise several share one process, and its log belongs to none of them.
        logs.configure(settings, "actors", actor)
        tracing.begin(settings.otlp_endpoint, actor)
    failpoints = Failpoints(settings.failpoints)
    clock = RowClock(failpoints.clock_step)
    # An owner asks about its own tenant only, by keys, and seldom five times: without a word Postgres would plan each.
    database = open_database(
        database_url(settings), pool=pool, application=f"landlord {actor}", brief=run_step is not None
    )
    store = PostgresExecutionStore(database, actor=actor, heard=clock.heard)
    compute = registry.enabled_compute(settings, share)
    prober = HealthProber()
    platforms = Platforms(store, compute, settings.lost_platforms)
    return Runtime(
        settings=settings,
        identity=Identity.from_environment(environ),
        database=database,
        store=store,
        clock=clock,
        compute=compute,
        workflow=registry.enabled_workflow(WorkflowEnvironment(settings, store, run_step, clock)),
        prober=prober,
        steps=Steps(
            store,
            platforms,
            prober,
            clock,
            failpoints,
            node=node,
            node_grace=settings.node_grace,
            timeout_seconds=settings.step_timeout_seconds,
            watch=LongCalls(store, clock).told,
        ),
        upkeep=Upkeep(store, platforms, prober),
        policy=Policy(
            idle=settings.idle_seconds,
            deadline=settings.provision_deadline_seconds,
            fallback=registry.FALLBACK,
            node=node,
            node_grace=settings.node_grace,
        ),
        node=node,
    )
