"""What the owner is told of an engine that answers badly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from actors.tenant import follower
from actors.tenant.follower import Follower
from controlplane.errors import LandlordError, Throttled, Unavailable
from controlplane.model import ExecutionState, SubState
from controlplane.ports import ExecutionStatus, WorkflowProvider
from tests.unit.builders import execution

RUNNING = ExecutionStatus(SubState.RUNNING)


class Engine:
    """Answers in turn, and then nothing more."""

    def __init__(self, *answers: ExecutionStatus | LandlordError) -> None:
        self._answers = list(answers)
        self.asked = asyncio.Event()

    async def next_status(self, *_: Any) -> ExecutionStatus:
        if not self._answers:
            self.asked.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, LandlordError):
            raise answer
        return answer


Follow = Callable[[Engine], Awaitable[tuple[Follower, list[str | None]]]]


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Follows until the engine has nothing more to say. Beside the follower: its silence at each news."""
    for pause in ("FOLLOW_RETRY_SECONDS", "THROTTLED_SECONDS"):
        monkeypatch.setattr(follower, pause, 0.0)

    async def run(engine: Engine) -> tuple[Follower, list[str | None]]:
        told: list[str | None] = []
        followed = execution(ExecutionState.RUNNING)
        engines = {followed.engine: cast(WorkflowProvider, engine)}
        following = Follower(engines, followed, None, lambda: told.append(following.silence))
        await asyncio.wait_for(engine.asked.wait(), 10)
        following.stop()
        return following, told

    return run


async def test_an_engine_that_throttles_is_not_silent(follow: Follow) -> None:
    following, told = await follow(Engine(RUNNING, Throttled("fewer calls"), Throttled("fewer calls")))
    assert (following.status, following.silence, told) == (RUNNING, None, [None])


async def test_one_that_throttles_after_it_was_away_has_come_back(follow: Follow) -> None:
    following, told = await follow(Engine(RUNNING, Unavailable("no answer"), Throttled("fewer calls")))
    assert (following.silence, told) == (None, [None, "no answer", None])


async def test_one_that_does_not_answer_is_silent_until_it_does(follow: Follow) -> None:
    following, told = await follow(Engine(Unavailable("no answer"), Unavailable("no answer"), RUNNING))
    assert (following.silence, told) == (None, ["no answer", None])
