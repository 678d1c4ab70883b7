"""The parts of one actor process: settings, database, providers, steps. Made lazily on the actor's own loop."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
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
from controlplane.steps.platforms import Platforms
from controlplane.steps.probe import HealthProber
from controlplane.steps.run import Steps
from controlplane.steps.upkeep import Upkeep
from providers import registry
from providers.registry import Enabled

INTERNAL = "LANDLORD_INTERNAL_"


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
    compute: Enabled[ComputeProvider]
    workflow: Enabled[WorkflowProvider]
    prober: HealthProber
    steps: Steps
    upkeep: Upkeep
    policy: Policy

    async def close(self) -> None:
        for database in self.workflow.built:
            await database.close()
        for platform in self.compute.built:
            await platform.close()
        await self.prober.close()
        await self.database.dispose()


def build_runtime(
    *,
    actor: str,
    pool: int,
    run_step: StepRunner | None = None,
    share: Callable[[str], Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Runtime:
    """Build the runtime. Raises SettingsError. `actor`: its name in the audit trail; `pool`: most database connections
    of this process; `run_step`: for a tenant's owner only, since no other process runs steps for an engine that runs in
    the owner; `share`: as `registry.enabled_compute` takes it."""
    hide()
    settings = load_settings(environ)
    if environ is None:
        # Otherwise several share one process, and its log belongs to none of them.
        logs.configure(settings, "actors", actor)
    clock = SystemClock()
    database = open_database(database_url(settings), pool=pool, application=f"landlord {actor}")
    store = PostgresExecutionStore(database, actor=actor)
    compute = registry.enabled_compute(settings, share)
    prober = HealthProber()
    platforms = Platforms(store, compute, settings.lost_platforms)
    return Runtime(
        settings=settings,
        identity=Identity.from_environment(environ),
        database=database,
        store=store,
        compute=compute,
        workflow=registry.enabled_workflow(WorkflowEnvironment(settings, store, run_step, clock)),
        prober=prober,
        steps=Steps(
            store,
            platforms,
            prober,
            clock,
            Failpoints(settings.failpoints),
            timeout_seconds=settings.step_timeout_seconds,
        ),
        upkeep=Upkeep(store, platforms, prober),
        policy=Policy(
            idle=settings.idle_seconds,
            deadline=settings.provision_deadline_seconds,
            fallback=registry.FALLBACK,
        ),
    )
