"""The stage of the sweep that counts, for /metrics: what has ended, and what is now."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.runtime import Runtime
from actors.supervisor.breaker import Breaker
from actors.supervisor.clockwork import Clockwork
from controlplane.persistence import gauges, totals


class Figures:
    """`own`: what the supervisor knows of itself (`of_sweeps`, live actors). `nodes`: what it says of its nodes
    (`node_list`); left out: nothing."""

    def __init__(
        self,
        runtime: Runtime,
        own: Callable[[], Mapping[str, Any]],
        nodes: Callable[[], Awaitable[list[dict[str, Any]]]] | None = None,
    ) -> None:
        self._runtime = runtime
        self._own = own
        self._nodes = nodes

    async def run(self) -> int:
        """How many executions were counted."""
        database = self._runtime.database
        counted = await totals.roll_up(
            database, providers=set(self._runtime.compute), engines=set(self._runtime.workflow)
        )
        figures = {
            **self._own(),
            "tenants": await gauges.tenants_by_status(database),
            "heal_budgets_spent": await gauges.heal_budgets_spent(database),
        }
        if self._nodes is not None:
            figures["node_list"] = await self._nodes()
        await gauges.leave(database, self._runtime.identity.cluster_id, figures)
        return counted


def of_sweeps(clockwork: Clockwork, breakers: Mapping[str, Breaker], now: float | None = None) -> dict[str, Any]:
    """`stages`: of each the seconds of its last run, and how often it failed since this supervisor began. `breakers`:
    of each provider whether it is open. `now`: monotonic."""
    moment = time.monotonic() if now is None else now
    return {
        "stages": {
            name: {"seconds": result.get("seconds", 0.0), "failures": clockwork.failures[name]}
            for name, result in clockwork.report.items()
        },
        "breakers": {name: not breaker.allows(moment) for name, breaker in breakers.items()},
    }
