"""The memory of one followed execution between two calls to AWS."""

from datetime import datetime
from random import Random

from controlplane.model import STEPS, Step, StepState
from controlplane.ports import RunContext
from providers.kit.polling import Polling

SOONEST, RAREST = 0.25, 5.0
"""Seconds between two looks at the rows."""
HURRIED = 5
"""Calls that do not wait for their turn once the rows say that the execution has ended: the machine ends a moment
later."""


class Following:
    """Rows show a step's progress before AWS is asked, because workers write them. Without news AWS is asked after
    `rest`."""

    def __init__(self) -> None:
        self._rows: tuple[tuple[Step, ...], bool] | None = None
        self._at: datetime | None = None
        self._hurried = 0
        self._polling: Polling | None = None

    def polling(self, random: Random) -> Polling:
        if self._polling is None:
            self._polling = Polling(random, SOONEST, RAREST)
        return self._polling

    def is_due(self, context: RunContext, now: datetime, rest: float) -> bool:
        if self._at is None or self._rows != (context.steps, context.current) or _is_over(context):
            return True
        return (now - self._at).total_seconds() >= rest

    def is_urgent(self, context: RunContext) -> bool:
        return _is_over(context) and self._hurried < HURRIED

    def asked(self, context: RunContext, now: datetime) -> None:
        if self._rows != (context.steps, context.current):
            self._polling = None  # news: the next change is seen soon
        if _is_over(context):
            self._hurried += 1
        self._rows, self._at = (context.steps, context.current), now


def _is_over(context: RunContext) -> bool:
    """The engine must end: a step has failed for good, all are done, or it is stopped."""
    states = {step.name: step.state for step in context.steps}
    done = all(states.get(step) is StepState.SUCCEEDED for step in STEPS[context.execution.action])
    return done or StepState.FAILED in states.values() or not context.current
