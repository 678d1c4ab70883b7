"""Totals of the executions that have ended, and of their steps. They outlive restarts and the removal of old rows.

The order of the trail's ids is the order of commits. So whoever reads on from a remembered id, and stores totals and id
in one transaction, counts each execution once. A call costs what has ended since the last one, not what is stored.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import ENDED, TERMINAL, EventType
from controlplane.persistence import tables
from controlplane.persistence.expressions import is_one_of

EXECUTIONS = "executions"
"""A counter, by action, provider, engine and outcome."""
HEALS = "heals"
"""A counter without labels: executions that a finding of ours began."""
EXECUTION_SECONDS = "execution_seconds"
"""A histogram by action and outcome: from the moment an execution is stored to its end."""
STEP_SECONDS = "step_seconds"
"""A histogram by step and outcome: all attempts, and the time between them."""
SUM = "sum"
"""The part of a histogram that is no bucket."""
INFINITE = "+Inf"
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Upper bounds of the buckets, in seconds. The last one has none."""
OTHER = "other"
"""For providers and engines that are not enabled: names that rows hold are no bounded set."""

ROLLED_UP = "events-rolled-up"
"""The row of `heartbeats` that records how far the trail was counted."""
ROLL_UP_LOCK = 0x1A4D10D8
"""One supervisor at a time counts; a second one has nothing to do."""
BATCH = 5_000
"""Events of one transaction."""
AT_ONCE = 4 * BATCH
"""Events of one call; the next call continues."""

_ENDINGS = frozenset(ENDED.values())


@dataclass(frozen=True, slots=True)
class Total:
    """`part`: empty for a counter; of a histogram the upper bound of a bucket, or SUM. A bucket counts only what is
    above the bucket before."""

    name: str
    labels: Mapping[str, str]
    part: str
    value: float


@dataclass(frozen=True, slots=True)
class EndedExecution:
    action: str
    provider: str
    engine: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EndedStep:
    step: str
    outcome: str
    seconds: float


async def roll_up(database: AsyncEngine, *, providers: Collection[str], engines: Collection[str]) -> int:
    """Count the executions that have ended since the last call; return their number. Of a long trail it reads at most
    AT_ONCE events. `providers`, `engines`: the enabled ones."""
    counted = read = 0
    while read < AT_ONCE:
        async with database.begin() as connection:
            size, ended = await _next_batch(connection, providers, engines)
        counted += ended
        read += size
        if size < BATCH:
            break
    return counted


async def all_totals(connection: AsyncConnection) -> Sequence[Total]:
    query = select(tables.totals).order_by(tables.totals.c.name, tables.totals.c.labels)
    return [Total(row.name, row.labels, row.part, row.total) for row in await connection.execute(query)]


def added(executions: Iterable[EndedExecution], steps: Iterable[EndedStep]) -> list[Total]:
    """What these add to the totals."""
    sums: defaultdict[tuple[str, tuple[tuple[str, str], ...], str], float] = defaultdict(float)

    def observe(name: str, labels: Mapping[str, str], seconds: float) -> None:
        of = tuple(labels.items())
        seconds = max(0.0, seconds)  # a clock may have stepped back
        sums[name, of, _bucket(seconds)] += 1
        sums[name, of, SUM] += seconds

    for one in executions:
        labels = {"action": one.action, "outcome": one.outcome}
        where = {**labels, "provider": one.provider, "engine": one.engine}
        sums[EXECUTIONS, tuple(where.items()), ""] += 1
        observe(EXECUTION_SECONDS, labels, one.seconds)
    for step in steps:
        observe(STEP_SECONDS, {"step": step.step, "outcome": step.outcome}, step.seconds)
    return [Total(name, dict(labels), part, value) for (name, labels, part), value in sums.items()]


def _heals(number: int) -> list[Total]:
    return [Total(HEALS, {}, "", number)] if number else []


def _bucket(seconds: float) -> str:
    index = bisect_left(BOUNDS, seconds)
    return str(BOUNDS[index]) if index < len(BOUNDS) else INFINITE


async def _next_batch(
    connection: AsyncConnection, providers: Collection[str], engines: Collection[str]
) -> tuple[int, int]:
    """The number of events that were read, and of executions among them that had ended."""
    if not (await connection.execute(select(func.pg_try_advisory_xact_lock(ROLL_UP_LOCK)))).scalar_one():
        return 0, 0
    trail, marks = tables.events.c, tables.heartbeats.c
    mark = select(marks.detail["through"].as_integer()).where(marks.name == ROLLED_UP)
    through = (await connection.execute(mark)).scalar() or 0
    query = select(trail.id, trail.type, trail.execution_id).where(trail.id > through).order_by(trail.id).limit(BATCH)
    events = (await connection.execute(query)).all()
    if not events:
        return 0, 0
    ids = [event.execution_id for event in events if event.type in _ENDINGS and event.execution_id is not None]
    executions = await _executions(connection, ids, providers, engines)
    heals = sum(event.type == EventType.TENANT_HEALING for event in events)
    await _add(connection, [*added(executions, await _steps(connection, ids)), *_heals(heals)])
    await _remember(connection, events[-1].id)
    return len(events), len(executions)


async def _executions(
    connection: AsyncConnection, ids: Collection[str], providers: Collection[str], engines: Collection[str]
) -> list[EndedExecution]:
    """Those of these that have rows. An execution does not change any more once it has ended."""
    rows = tables.executions.c
    query = select(
        rows.action,
        rows.spec["compute"]["provider"].as_string().label("provider"),
        rows.engine,
        rows.state,
        _seconds(rows.created_at, rows.ended_at),
    ).where(rows.id == _any(ids), is_one_of(rows.state, TERMINAL))
    return [
        EndedExecution(
            row.action,
            row.provider if row.provider in providers else OTHER,
            row.engine if row.engine in engines else OTHER,
            row.state,
            float(row.seconds or 0.0),
        )
        for row in await connection.execute(query)
    ]


async def _steps(connection: AsyncConnection, ids: Collection[str]) -> list[EndedStep]:
    """Their steps that have ended; a step that was given up in the middle has not."""
    rows = tables.steps.c
    query = select(rows.name, rows.state, _seconds(rows.started_at, rows.ended_at)).where(
        rows.execution_id == _any(ids), rows.ended_at.is_not(None)
    )
    return [EndedStep(row.name, row.state, float(row.seconds or 0.0)) for row in await connection.execute(query)]


async def _add(connection: AsyncConnection, totals: Sequence[Total]) -> None:
    if not totals:
        return
    values = [{"name": one.name, "labels": dict(one.labels), "part": one.part, "total": one.value} for one in totals]
    statement = upsert(tables.totals).values(values)
    total = tables.totals.c.total + statement.excluded.total
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["name", "labels", "part"], set_={"total": total})
    )


async def _remember(connection: AsyncConnection, through: int) -> None:
    values = {"cluster_id": "", "detail": {"through": through}, "at": func.clock_timestamp()}
    statement = upsert(tables.heartbeats).values(name=ROLLED_UP, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def _any(ids: Collection[str]) -> ColumnElement[str]:
    # One array for any number of them: a statement has 32,767 parameters at most.
    return any_(bindparam("ids", list(ids), type_=ARRAY(Text)))  # type: ignore[return-value]


def _seconds(begun: ColumnElement[object], ended: ColumnElement[object]) -> ColumnElement[Any]:
    return func.extract("epoch", ended - begun).label("seconds")
