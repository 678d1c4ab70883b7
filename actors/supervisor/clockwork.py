"""The clockwork of sweeps: runs their stages, one sweep after the other, and keeps the result of each stage."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

logger = logging.getLogger(__name__)

STAGE_SECONDS = 120.0
"""Bound of one stage of a sweep: a hanging stage is given up, and the next one begins."""

HANGS = "still hangs from an earlier sweep"

Stages = dict[str, Callable[[], Awaitable[int]]]


class Clockwork:
    """Promises: each stage of a sweep is caught, timed, counted and bounded; two loops do not wait for each other. A
    stage that cannot even be cancelled is left, and begun again only once it has returned."""

    def __init__(self, sweep_seconds: float) -> None:
        """`sweep_seconds`: longest time from the end of one sweep to the next."""
        self._sweep_seconds = sweep_seconds
        self._again: list[asyncio.Event] = []
        self._left: dict[str, asyncio.Task[int]] = {}
        """Stages that have outlived their bound."""
        self.report: dict[str, Any] = {}
        """Stage → its last result: seconds, count, error."""
        self.failures: Counter[str] = Counter()
        """Stage → how often it failed since this process began."""

    def sweep_now(self) -> None:
        """Make each loop sweep at once; if it is sweeping, make it sweep again afterwards."""
        for again in self._again:
            again.set()

    async def loop(self, stages: Stages) -> None:
        """Run one sweep after the other. It cannot die."""
        again = asyncio.Event()
        self._again.append(again)
        while True:
            again.clear()
            for name, stage in stages.items():
                await self.run(name, stage)
            with suppress(TimeoutError):
                await asyncio.wait_for(again.wait(), self._sweep_seconds)

    async def run(self, name: str, stage: Callable[[], Awaitable[int]]) -> None:
        """Run one stage. Never raises: the report holds the result."""
        if name in self._left:
            self.report[name]["error"] = HANGS
            self.failures[name] += 1
            return
        began = time.monotonic()
        outcome: dict[str, Any] = {"error": None}
        try:
            outcome["count"] = await self._bounded(name, stage)
        except Exception as error:
            logger.exception("stage %s of the sweep failed", name)
            outcome["error"] = type(error).__name__
            self.failures[name] += 1
        outcome["seconds"] = round(time.monotonic() - began, 3)
        self.report[name] = outcome

    async def _bounded(self, name: str, stage: Callable[[], Awaitable[int]]) -> int:
        """Its result. Raises its errors, and TimeoutError after STAGE_SECONDS, even if it does not end then."""

        async def work() -> int:
            return await stage()

        running = asyncio.create_task(work(), name=f"stage {name}")
        try:
            await asyncio.wait({running}, timeout=STAGE_SECONDS)
        finally:
            running.cancel()
        if not running.done():
            self._left[name] = running
            running.add_done_callback(lambda ended: self._ended(name, ended))
            raise TimeoutError
        return running.result()

    def _ended(self, name: str, stage: "asyncio.Task[int]") -> None:
        del self._left[name]
        if not stage.cancelled() and stage.exception() is not None:
            logger.warning("stage %s had outlived its bound, and failed", name, exc_info=stage.exception())
