"""The seams: the interfaces that the rules need to compute platforms, workflow engines, the store and the live actors.

Providers implement `ComputeProvider` and `WorkflowProvider`; `persistence` implements `ExecutionStore`; `actors`
implements `TenantDirectory`, `Machines` and `StepRunner`. Every verb is idempotent: observe, then act.
"""

from controlplane.ports.clock import Clock
from controlplane.ports.compute import (
    OWNER_LABEL,
    TENANT_ID_LABEL,
    TENANT_LABEL,
    Change,
    ComputeProvider,
    DesiredResource,
    ExecutionGate,
    FollowsLogs,
    HoldsData,
    KeepsBelongings,
    ListsBelongings,
    LogPart,
    Origin,
    PlatformHealth,
    Prober,
    ProbeResult,
    ProvidesLogs,
    Ran,
    ReachesHost,
    Resource,
    ResourceState,
    Restarts,
    RunsCommands,
    RunsExecProbes,
    tenant_id_of,
)
from controlplane.ports.directory import (
    TenantDirectory,
    Wake,
)
from controlplane.ports.health import ProviderHealth
from controlplane.ports.machines import Machines, RemoteCompute
from controlplane.ports.store import (
    ExecutionStore,
    RunContext,
)
from controlplane.ports.workflow import (
    CallsOneCluster,
    ExecutionInput,
    ExecutionStatus,
    RunsInOwner,
    Started,
    StepRunner,
    StepSignals,
    WorkflowEnvironment,
    WorkflowProvider,
)

__all__ = [
    "OWNER_LABEL",
    "TENANT_ID_LABEL",
    "TENANT_LABEL",
    "CallsOneCluster",
    "Change",
    "Clock",
    "ComputeProvider",
    "DesiredResource",
    "ExecutionGate",
    "ExecutionInput",
    "ExecutionStatus",
    "ExecutionStore",
    "FollowsLogs",
    "HoldsData",
    "KeepsBelongings",
    "ListsBelongings",
    "LogPart",
    "Machines",
    "Origin",
    "PlatformHealth",
    "ProbeResult",
    "Prober",
    "ProviderHealth",
    "ProvidesLogs",
    "Ran",
    "ReachesHost",
    "RemoteCompute",
    "Resource",
    "ResourceState",
    "Restarts",
    "RunContext",
    "RunsCommands",
    "RunsExecProbes",
    "RunsInOwner",
    "Started",
    "StepRunner",
    "StepSignals",
    "TenantDirectory",
    "Wake",
    "WorkflowEnvironment",
    "WorkflowProvider",
    "tenant_id_of",
]
