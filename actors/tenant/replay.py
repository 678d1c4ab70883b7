"""The last decisions of one owner: what the rows said, what it decided, and why. The runner and the steps tell it,
operators read it (`actors.operator`). Nothing acts on it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from controlplane.lifecycle.decisions import Decision
from controlplane.model import Execution, TenantRows
from controlplane.model.rows import Placement, Step
from controlplane.ports import ExecutionStatus

KEPT = 200
"""Entries of one owner, some 100 KB."""
LONGEST = 300
"""Characters of one text in an entry."""

WAIT = "Wait"
STEP = "Step"


class Replay:
    """Promises: bounded; the oldest entry goes first. Entries are numbered from 1 and plain data. It is in the memory
    of the owner's process only, and gone with it: the audit trail is what lasts.

    An entry: `number`, `at` (by the database's clock), `times` (how often in a row it was decided so), `what` (the name
    of the decision, `Wait`, or `Step`), `why` (what the decision is about), `rows` (their versions), `look_again`
    (seconds)."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=kept)
        self._newest = 0
        self._rows: Mapping[str, Any] = {}
        self._news: asyncio.Event | None = None

    @property
    def rows(self) -> Mapping[str, Any]:
        """What the rows said last. Empty before the first look."""
        return self._rows

    def decided(self, rows: TenantRows, decision: Decision) -> None:
        """One turn of the runner."""
        self._rows = _versions(rows)
        what = WAIT if decision.act is None else type(decision.act).__name__
        look_again = None if decision.look_again is None else round(decision.look_again, 3)
        self._add(rows.now, what, {} if decision.act is None else _told(decision.act), look_again)

    def step(self, execution_id: str, step: str, state: str, error: str | None = None) -> None:
        """A step of an execution that runs in this process: running, succeeded or failed."""
        why = {"execution": execution_id, "step": step, "state": state}
        self._add(datetime.now(UTC), STEP, why if error is None else {**why, "error": error[:LONGEST]}, None)

    def read(self, after: int = 0) -> list[dict[str, Any]]:
        """The entries with a higher number that are still kept."""
        return [dict(entry) for entry in self._entries if entry["number"] > after]

    async def news(self, after: int, seconds: float) -> list[dict[str, Any]]:
        """As `read`. If there is nothing yet, wait so long for it."""
        if self._newest <= after and seconds > 0:
            if self._news is None:
                self._news = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        return self.read(after)

    def _add(self, at: datetime, what: str, why: dict[str, Any], look_again: float | None) -> None:
        last = self._entries[-1] if self._entries else None
        if last is not None and (last["what"], last["why"], last["rows"]) == (what, why, self._rows):
            last["times"] += 1
            last["last_at"] = at.isoformat()
            return
        self._newest += 1
        self._entries.append(
            {
                "number": self._newest,
                "at": at.isoformat(),
                "last_at": at.isoformat(),
                "times": 1,
                "what": what,
                "why": why,
                "rows": self._rows,
                "look_again": look_again,
            }
        )
        if self._news is not None:
            self._news.set()
            self._news = None


def _versions(rows: TenantRows) -> Mapping[str, Any]:
    tenant = rows.tenant
    active, queued = rows.active, rows.queued
    return {
        "status": tenant.status.value,
        "generation": tenant.generation,
        "observed_generation": tenant.observed_generation,
        "version": tenant.version,
        "epoch": tenant.epoch,
        "fence": tenant.fence,
        "paused": tenant.paused,
        "serving": tenant.serving_execution,
        "active": None if active is None else f"{active.id} {active.state}",
        "queued": None if queued is None else queued.id,
    }


def _told(act: Any) -> dict[str, Any]:
    return {one.name: _plain(getattr(act, one.name)) for one in fields(act)}


def _plain(value: Any) -> Any:
    match value:
        case Execution():
            return value.id
        case Placement():
            return value.execution_id
        case Step():
            return f"{value.name} {value.state}"
        case ExecutionStatus():
            return value.sub_state.value if value.step is None else f"{value.sub_state} {value.step}"
        case Enum():
            return value.value
        case tuple():
            return [_plain(one) for one in value]
        case str():
            return value[:LONGEST]
        case _:
            return value
