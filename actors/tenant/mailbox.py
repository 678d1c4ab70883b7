"""A mailbox of wake-ups, not of work: many wake-ups before a look are one look. It also serves callers that wait for an
outcome."""

import asyncio
from contextlib import suppress

from controlplane.model import ExecutionState, TenantRows
from controlplane.ports import Wake


class Mailbox:
    """Promises: if a wake-up is marked before the rows are read, that read serves it; if it is marked later, it causes
    another read. Waiting is shielded: if a caller goes away, nothing changes."""

    def __init__(self) -> None:
        self._dirty = asyncio.Event()
        self._look = False
        self._closed = False
        self._waiting: dict[str, asyncio.Future[Wake]] = {}

    @property
    def dirty(self) -> bool:
        return self._dirty.is_set()

    @property
    def closed(self) -> bool:
        """True if no more rows are read: a later mark is not served."""
        return self._closed

    def close(self, *, whatever: bool = False) -> bool:
        """The owner leaves. Returns False if something was marked: then it stays, unless it leaves `whatever` was."""
        self._closed = whatever or not self.dirty
        return self._closed

    def mark_dirty(self, *, look: bool = False) -> None:
        """Mark the mailbox. `look`: also look at reality, however recent the last look is: a sweep has seen something,
        or a client asks for it."""
        self._look = self._look or look
        self._dirty.set()

    def clear(self) -> bool:
        """Call it right before the rows are read. True: reality must be looked at as well."""
        self._dirty.clear()
        look, self._look = self._look, False
        return look

    async def wait(self, seconds: float | None) -> bool:
        """Wait until the next mark, or for that many seconds. True: there was a mark."""
        # Not `wait_for`: up to Python 3.11 it swallows a cancellation that comes together with a mark.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._dirty.wait()
        return False

    async def outcome(self, execution_id: str, seconds: float | None) -> Wake:
        """The outcome of an execution's start. `pending` if it takes longer than `seconds`."""
        future = self._waiting.get(execution_id)
        if future is None:
            future = self._waiting[execution_id] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            return Wake("pending", "the execution is queued; its start takes longer than usual")

    def publish(self, rows: TenantRows) -> None:
        """Answer the callers that wait for executions whose outcome these rows show."""
        for id in list(self._waiting):
            wake = _what_became_of(id, rows)
            if wake is not None:
                self._waiting.pop(id).set_result(wake)

    def started(self, execution_id: str) -> bool:
        """The engine took it: answer before that is written down. False: no caller waits."""
        future = self._waiting.pop(execution_id, None)
        if future is not None:
            future.set_result(Wake("started"))
        return future is not None

    def abandon(self, message: str) -> None:
        """The owner leaves: end every wait, since no answer will come."""
        for future in self._waiting.values():
            future.set_result(Wake("pending", message))
        self._waiting.clear()


def _what_became_of(id: str, rows: TenantRows) -> Wake | None:
    execution = rows.find(id)
    if execution is None:
        # Neither queued, active, newest nor serving: it has ended, and was overtaken.
        return Wake("started")
    if execution.state is ExecutionState.QUEUED and rows.tenant.paused:
        return Wake("pending", "paused: the execution begins when the tenant is resumed")
    if execution.state is ExecutionState.QUEUED:
        active = rows.active
        waits_its_turn = active is not None and active.state is not ExecutionState.STOPPING
        return Wake("pending", f"waits until {active.id} ends") if waits_its_turn and active else None
    if execution.state is ExecutionState.STARTING:
        return Wake("refused", execution.error) if execution.error else None
    return Wake("started")
