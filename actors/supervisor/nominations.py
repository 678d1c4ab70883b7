"""The sweep's findings about tenants, kept so that each finding wakes its tenant once."""

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from actors.supervisor.queue import Priority
from controlplane.model import Endpoint
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.resting import Drift, Serving

Kind = Drift | tuple[Endpoint, ...] | Literal["unhealthy", "recovering", "lost", "lost for good"]
"""A finding: a drift, the endpoints that the resource moved to, a probe's finding, or the loss of its machine."""

Nominate = Callable[[TenantKey, Priority], None]


class Nomination(NamedTuple):
    """The finding for which a resting tenant was woken."""

    execution_id: str
    epoch: int
    kind: Kind


class Remembered(NamedTuple):
    nomination: Nomination
    since: float
    """By the clock of `Nominations`, seconds."""


REMEMBERED_SECONDS = 60.0
"""A woken owner may never have looked: its platform was away, or other tenants wanted its place. So a finding is
forgotten after this time, and if it persists, it wakes the tenant again."""


class Nominations:
    """Nominates tenants to wake. Promises: an unchanged finding wakes a tenant once in REMEMBERED_SECONDS, and again at
    once if the wake-up failed or the owner that should act on it died. After an execution the finding is new."""

    def __init__(self, nominate: Nominate, clock: Callable[[], float] = time.monotonic) -> None:
        self.nominate = nominate
        """Nominate a tenant at once, whatever was found before."""
        self._clock = clock
        self._found: dict[TenantKey, Remembered] = {}

    @property
    def remembered(self) -> int:
        """The number of findings that have woken their tenants."""
        return len(self._found)

    def forget_old(self) -> None:
        """Called by each sweep before it compares: old findings count as new again, and findings of vanished tenants
        are dropped."""
        now = self._clock()
        self._found = {tenant: found for tenant, found in self._found.items() if now - found.since < REMEMBERED_SECONDS}

    def found(self, serving: Serving, kind: Kind) -> None:
        """Note a finding about the serving resource."""
        known = Nomination(serving.execution_id, serving.epoch, kind)
        found = self._found.get(serving.tenant)
        if found is None or found.nomination != known:
            self._found[serving.tenant] = Remembered(known, self._clock())
            self.nominate(serving.tenant, Priority.DRIFT)

    def listed_well(self, tenant: TenantKey) -> None:
        """The platform lists the resource as it should be. Only a probe takes back the finding of a probe."""
        if not self._is_unhealthy(tenant):
            self._found.pop(tenant, None)

    def probed_well(self, tenant: TenantKey) -> None:
        """The resource answers as it should. Only a list takes back the finding of a list."""
        if self._is_unhealthy(tenant):
            del self._found[tenant]

    def not_woken(self, tenant: TenantKey) -> None:
        """A nomination failed: its finding counts as new at the next sweep."""
        self._found.pop(tenant, None)

    def died(self, name: str) -> None:
        """The owner that should act on a finding has died: the finding counts as new at the next sweep."""
        for tenant in [tenant for tenant in self._found if tenant.name == name]:
            del self._found[tenant]

    def _is_unhealthy(self, tenant: TenantKey) -> bool:
        found = self._found.get(tenant)
        return found is not None and found.nomination.kind in ("unhealthy", "recovering")
