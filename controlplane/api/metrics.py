"""The text of /metrics: totals and gauges from rows, and what this replica counts itself.

Labels are words of the code, names of enabled providers, of engines and of machines, and templates of routes: never
what a client chose.
"""

import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import QueuePool

from controlplane.api.remembered import Remembered
from controlplane.api.replica import Replica
from controlplane.api.request_counts import RequestCounts
from controlplane.persistence import totals
from controlplane.persistence.database import single
from controlplane.persistence.gauges import Gauges, gauges
from controlplane.persistence.totals import BOUNDS, INFINITE, SUM, Total, all_totals

SECONDS = 1.0
"""Rows are asked only this often, for any number of readers."""


class Metrics:
    """Made with the replica, on its loop."""

    def __init__(self, here: Replica, requests: RequestCounts) -> None:
        self._here = here
        self._requests = requests
        self._replica = f"{platform.node()}:{os.getpid()}"
        self._text = Remembered(partial(self._look), seconds=SECONDS, start=here.background.start)

    async def text(self) -> bytes:
        """At most a second old. Raises the database's errors."""
        return await self._text.get()

    async def _look(self) -> bytes:
        async with single(self._here.database) as connection:
            summed = await all_totals(connection)
            now = await gauges(connection, self._here.parts.cluster_id)
        return generate_latest(_Families([*of_totals(summed), *of_gauges(now), *self._own()]))

    def _own(self) -> Iterator[Metric]:
        pool = self._here.database.pool
        assert isinstance(pool, QueuePool)
        pools = {"in_use": pool.checkedout(), "size": pool.size()}
        return of_replica(self._replica, self._requests.read(), self._here.directory.wakes(), pools)


def of_replica(
    replica: str,
    requests: Mapping[tuple[str, str, str], int],
    wakes: Mapping[str, int],
    pool: Mapping[str, int],
) -> Iterator[Metric]:
    """What one replica counts itself, since it began. `pool`: connections that are `in_use`, and its `size`."""
    answered = CounterMetricFamily(
        "landlord_http_requests",
        "Requests that this replica answered, since it began.",
        labels=("replica", "route", "method", "status"),
    )
    for of, number in sorted(requests.items()):
        answered.add_metric((replica, *of), number)
    yield answered
    woken = CounterMetricFamily(
        "landlord_wakes",
        "Wake-ups that this replica sent, by what was there: a live actor, or none.",
        labels=("replica", "actor"),
    )
    for word, number in sorted(wakes.items()):
        woken.add_metric((replica, word), number)
    yield woken
    for name, described in (
        ("in_use", "Database connections of this replica that are in use."),
        ("size", "Database connections that this replica may have."),
    ):
        connections = GaugeMetricFamily(f"landlord_database_pool_{name}", described, labels=("replica",))
        connections.add_metric((replica,), pool[name])
        yield connections


def of_totals(summed: Iterable[Total]) -> Iterator[Metric]:
    """The families that outlive restarts."""
    by_name: dict[str, dict[tuple[tuple[str, str], ...], dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for total in summed:
        by_name[total.name][tuple(sorted(total.labels.items()))][total.part] = total.value
    names: tuple[str, ...] = ("action", "provider", "engine", "outcome")
    executions = CounterMetricFamily("landlord_executions", "Executions that have ended.", labels=names)
    for labels, parts in by_name[totals.EXECUTIONS].items():
        executions.add_metric(_values(labels, names), parts[""])
    yield executions
    yield CounterMetricFamily(
        "landlord_heals",
        "Executions that a finding began: compute was gone, had stopped or was not healthy.",
        value=sum(parts[""] for parts in by_name[totals.HEALS].values()),
    )
    for name, described, names in (
        (totals.EXECUTION_SECONDS, "From the intent to the end of an execution.", ("action", "outcome")),
        (totals.STEP_SECONDS, "A step of an ended execution, with all its attempts.", ("step", "outcome")),
    ):
        seconds = HistogramMetricFamily(f"landlord_{name}", described, labels=names)
        for labels, parts in by_name[name].items():
            seconds.add_metric(_values(labels, names), _buckets(parts), parts.get(SUM, 0.0))
        yield seconds


def of_gauges(now: Gauges) -> Iterator[Metric]:
    """What is now. What the supervisor has not left is not shown."""
    yield _by("landlord_executions_unfinished", "Executions that have not ended.", "state", now.executions)
    yield GaugeMetricFamily(
        "landlord_execution_queue_age_seconds",
        "For so long the oldest execution that is due has been queued.",
        value=now.queue_seconds,
    )
    yield _by("landlord_clusters", "Live clusters on this database.", "state", now.clusters)
    if now.sweep_seconds is not None:
        yield GaugeMetricFamily(
            "landlord_supervisor_heartbeat_age_seconds",
            "Time since the supervisor of this cluster swept.",
            value=now.sweep_seconds,
        )
    figures = now.figures
    for name, described in (
        ("actors_live", "Live tenant actors of this cluster."),
        ("actors_ceiling", "The number of tenant actors that may live in this cluster."),
        ("tenants_waiting", "Tenants that wait for an actor in this cluster."),
        ("heal_budgets_spent", "Tenants that are not healed any more: their last heals did not last."),
    ):
        if name in figures:
            yield GaugeMetricFamily(f"landlord_{name}", described, value=figures[name])
    yield _by("landlord_tenants", "Tenants that are not deleted.", "status", figures.get("tenants", {}))
    yield _by("landlord_nodes", "Machines of this cluster.", "state", figures.get("nodes", {}))
    yield _by(
        "landlord_starts_at_once",
        "Tenant actors that are started at once on a machine: fewer while work waits for its cores.",
        "node",
        figures.get("starts_at_once", {}),
    )
    for name, described, label in (
        ("activations", "Tenant actors that were started (cold) or found by a new supervisor (adopted).", "how"),
        (
            "departures",
            "Tenant actors that have left; lost: their write was refused, another owner has the row.",
            "reason",
        ),
    ):
        counted = CounterMetricFamily(f"landlord_{name}", described, labels=(label,))
        for word, number in sorted(figures.get(name, {}).items()):
            counted.add_metric((word,), float(number))
        yield counted
    yield _by("landlord_breaker_open", "1: the platform is not called.", "provider", figures.get("breakers", {}))
    yield from _stages(figures.get("stages", {}))


def _stages(stages: Mapping[str, Any]) -> Iterator[Metric]:
    seconds = GaugeMetricFamily(
        "landlord_sweep_stage_seconds", "Time of a stage in the last sweep of this cluster.", labels=("stage",)
    )
    failures = CounterMetricFamily(
        "landlord_sweep_stage_failures", "How often a stage failed, since the supervisor began.", labels=("stage",)
    )
    for stage, result in sorted(stages.items()):
        seconds.add_metric((stage,), result["seconds"])
        failures.add_metric((stage,), result["failures"])
    yield from (seconds, failures)


def _by(name: str, described: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, described, labels=(label,))
    for word, value in sorted(values.items()):
        family.add_metric((word,), float(value))
    return family


def _values(labels: Iterable[tuple[str, str]], names: Sequence[str]) -> list[str]:
    known = dict(labels)
    return [known[name] for name in names]


def _buckets(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """Prometheus' buckets hold what the ones before them hold, too. Bounds of other releases are kept."""
    bounds = sorted({*(str(bound) for bound in BOUNDS), INFINITE, *parts} - {SUM}, key=float)
    found: list[tuple[str, float]] = []
    for bound in bounds:
        found.append((bound, parts.get(bound, 0.0) + (found[-1][1] if found else 0.0)))
    return found


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
