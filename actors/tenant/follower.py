"""Follows an engine's progress on one execution, for the runner that started it."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from controlplane.errors import LandlordError, Throttled, told
from controlplane.model import Execution, SubState
from controlplane.ports import ExecutionStatus, WorkflowProvider

logger = logging.getLogger(__name__)

FOLLOW_RETRY_SECONDS = 1.0
THROTTLED_SECONDS = 5.0


class Follower:
    """A child of the runner: keeps the engine's last report on one execution, and calls back when it is new.

    `silence`: the reason if the engine does not answer. It is asked again and again, even if it is not enabled: its
    first request stays due."""

    def __init__(
        self,
        engines: Mapping[str, WorkflowProvider],
        execution: Execution,
        ref: str | None,
        news: Callable[[], None],
    ) -> None:
        self.execution_id = execution.id
        self.status: ExecutionStatus | None = None
        self.silence: str | None = None
        self._engines = engines
        self._engine = execution.engine
        self._ref = ref
        self._news = news
        self._task = asyncio.create_task(self._follow(), name=f"follow {execution.id}")

    async def _follow(self) -> None:
        while self.status is None or not self.status.sub_state.terminal:
            try:
                engine = self._engines[self._engine]
                self.status = await engine.next_status(self.execution_id, self._ref, self.status)
            except Throttled as error:
                # It answers, so it is not silent: it asks for fewer calls.
                self._speaks()
                await asyncio.sleep(max(error.delay or 0.0, THROTTLED_SECONDS))
            except Exception as error:
                self._is_silent(error)
                await asyncio.sleep(FOLLOW_RETRY_SECONDS)
            else:
                self.silence = None
                self._news()
                if self.status.sub_state is SubState.UNKNOWN:
                    return

    def _speaks(self) -> None:
        if self.silence is not None:
            self.silence = None
            self._news()

    def _is_silent(self, error: Exception) -> None:
        if self.silence is not None:
            return
        self.silence = told(error, "it failed")
        expected = isinstance(error, LandlordError)
        logger.warning("the engine of %s does not answer: %s", self.execution_id, self.silence, exc_info=not expected)
        self._news()

    def stop(self) -> None:
        self._task.cancel()
