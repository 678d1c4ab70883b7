"""A typed, blocking client of the control plane's HTTP API: the command line, operators and tests use it.

    with Client.of(load_settings()) as client:
        tenant = client.create_tenant({"name": "acme", "spec": {...}})
        tenant = client.wait_tenant(tenant["id"], timeout=60)

Answers are the JSON documents of the API, unchanged and typed. A problem is raised as `Refused` with the problem's
fields; no answer at all is `Unreachable`.
"""

from controlplane.client.apply import patch_to, surplus, wanted
from controlplane.client.documents import (
    ChangeDocument,
    ComputeProviderDocument,
    ConsistencyDocument,
    DifferenceDocument,
    Endpoint,
    EventDocument,
    EventPage,
    ExecutionDocument,
    ExecutionPage,
    NewTokenDocument,
    Observed,
    PausesDocument,
    PlanDocument,
    ProvidersDocument,
    StepDocument,
    TenantDocument,
    TenantPage,
    TokenDocument,
    TokenPage,
    TrailDocument,
    WatchDocument,
    Workflow,
    WorkflowProviderDocument,
)
from controlplane.client.installation import InstallationApi
from controlplane.client.matching import Matching
from controlplane.client.tenants import settled
from controlplane.client.wire import Unreachable

__all__ = [
    "ChangeDocument",
    "Client",
    "ComputeProviderDocument",
    "ConsistencyDocument",
    "DifferenceDocument",
    "Endpoint",
    "EventDocument",
    "EventPage",
    "ExecutionDocument",
    "ExecutionPage",
    "NewTokenDocument",
    "Observed",
    "PausesDocument",
    "PlanDocument",
    "ProvidersDocument",
    "StepDocument",
    "TenantDocument",
    "TenantPage",
    "TokenDocument",
    "TokenPage",
    "TrailDocument",
    "Unreachable",
    "WatchDocument",
    "Workflow",
    "WorkflowProviderDocument",
    "patch_to",
    "settled",
    "surplus",
    "wanted",
]


class Client(Matching, InstallationApi):
    """One connection pool to one control plane. Do not use it from several threads at once."""
