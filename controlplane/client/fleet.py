"""The fleet at a glance: what is under way, what waits its turn, what is unwell."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controlplane.model import ConditionType
from landlord_client import Tenant

LONG_AGO = datetime.min.replace(tzinfo=UTC)
UNWELL = frozenset({"degraded", "failed"})


@dataclass
class Fleet:
    """One look at all tenants. The lists have at most as many as were asked for, those that changed last a long time
    ago first; the counts are of all."""

    tenants: int = 0
    paused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    under_way: list[Tenant] = field(default_factory=list)
    under_way_count: int = 0
    oldest_queued: Tenant | None = None
    queued_count: int = 0
    unwell: list[Tenant] = field(default_factory=list)
    unwell_count: int = 0


def glance(tenants: Iterable[Tenant], most: int) -> Fleet:
    """Reads the tenants once, and keeps only what it shows."""
    fleet = Fleet()
    for tenant in tenants:
        fleet.tenants += 1
        fleet.paused += tenant.paused
        fleet.statuses[tenant.status] += 1
        if tenant.status in UNWELL or _waits(tenant):
            fleet.unwell_count += 1
            _keep(fleet.unwell, tenant, most)
        if tenant.settled:
            continue
        if tenant.workflow.state == "pending":
            fleet.queued_count += 1
            fleet.oldest_queued = min(fleet.oldest_queued or tenant, tenant, key=_changed)
        else:
            fleet.under_way_count += 1
            _keep(fleet.under_way, tenant, most)
    return fleet


def seconds_since(at: datetime | None, now: datetime) -> float | None:
    """Of a time of the API. The clocks of two machines may differ, so never less than 0."""
    return None if at is None else max(0.0, (now - at).total_seconds())


def _keep(kept: list[Tenant], tenant: Tenant, most: int) -> None:
    kept.append(tenant)
    kept.sort(key=_changed)
    del kept[most:]


def _changed(tenant: Tenant) -> tuple[datetime, str]:
    return tenant.updated_at or LONG_AGO, tenant.name


def _waits(tenant: Tenant) -> bool:
    return any(condition.type == ConditionType.WAITING for condition in tenant.conditions)
