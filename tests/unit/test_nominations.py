"""What the sweep found wakes a tenant once, and again when nobody saw to it."""

from uuid import UUID

from actors.supervisor.nominations import REMEMBERED_SECONDS, Nominations
from actors.supervisor.queue import Priority
from controlplane.model import HealthSpec
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.resting import Drift, Serving

ACME = TenantKey(UUID(int=1), "acme")
SERVING = Serving(
    tenant=ACME,
    execution_id="tenant-acme-provision-1-00000000",
    platform="fake",
    platform_identity="cloud",
    endpoints=(),
    resource_id="i-1",
    spec_hash="hash",
    epoch=1,
    health=HealthSpec(),
    degraded=False,
)


class Told:
    """Nominations, and whom they woke."""

    def __init__(self) -> None:
        self.now = 0.0
        self.woken: list[str] = []
        self.nominations = Nominations(self._wake, lambda: self.now)

    def _wake(self, tenant: TenantKey, priority: Priority) -> None:
        self.woken.append(tenant.name)

    def sweep_finds(self, kind: Drift) -> None:
        self.nominations.forget_old()
        self.nominations.found(SERVING, kind)


def test_an_unchanged_finding_wakes_once() -> None:
    told = Told()
    for _ in range(5):
        told.sweep_finds(Drift.GONE)
        told.now += 10
    assert told.woken == ["acme"]


def test_a_finding_that_nobody_saw_to_wakes_again() -> None:
    """Its owner came while the platform was away, could not look, and left: the next sweeps find the same."""
    told = Told()
    told.sweep_finds(Drift.GONE)
    told.now = REMEMBERED_SECONDS - 1
    told.sweep_finds(Drift.GONE)
    assert told.woken == ["acme"]
    told.now = REMEMBERED_SECONDS
    told.sweep_finds(Drift.GONE)
    assert told.woken == ["acme", "acme"]


def test_what_is_found_no_more_is_not_kept() -> None:
    told = Told()
    told.sweep_finds(Drift.GONE)
    told.now = REMEMBERED_SECONDS
    told.nominations.forget_old()
    assert told.nominations.remembered == 0


def test_another_finding_and_a_lost_owner_wake_at_once() -> None:
    told = Told()
    told.sweep_finds(Drift.GONE)
    told.sweep_finds(Drift.STOPPED)
    told.nominations.died("acme")
    told.sweep_finds(Drift.STOPPED)
    assert told.woken == ["acme"] * 3
