"""The lifecycle as a Restate workflow keyed by the execution id. Each step is a durable `run` with the step's name.

Restate calls this ASGI application; `actors/restate_endpoint.py` serves it as a Serve deployment. The handler holds
only the order of the steps, and reads everything else from rows. It sleeps durably between two probes, so a connection
is open only while a step works, and a redeploy is never held up.

A journal must fit the code that continues it. So the sequence of commands below belongs to `status.JOURNAL`. To change
the sequence, add an application under the next number next to this one. This one stays until none of its executions is
in flight.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import restate
from restate.exceptions import RetryableError
from restate.server_types import RestateAppT

from controlplane.errors import Terminal
from controlplane.model import STEPS, StepName, action_in_execution_id
from controlplane.steps.attempts import Claims, Outcome, StepAttempts, Verdict
from controlplane.steps.probes import Probes
from providers.workflow.restate.status import FAILING, HANDLER, SERVICE, STOPPED_CODE

logger = logging.getLogger(__name__)

ROWS_PAUSE = timedelta(seconds=5)
"""Wait before a `run` is tried again whose rows could not be read. It is tried as long as its execution may last: the
rows bound attempts, and unreadable rows say nothing about the tenant."""

CALLS = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    exponentiation_factor=2.0,
    max_interval=timedelta(seconds=10),
    max_attempts=70,
    on_max_attempts="pause",
)
"""For when this application does not answer. Afterwards the engine pauses, which the tenant's actor treats as an
error."""

LONGEST_STEP = timedelta(minutes=30)
"""The server holds the connection of a working step this long; platforms' own time-outs end it earlier."""

SHORTEST_SLEEP = 0.1
"""Two probes are at least this many seconds apart."""


def build_app(
    attempts: StepAttempts, *, identity_keys: Sequence[str] = (), calls: restate.InvocationRetryPolicy = CALLS
) -> RestateAppT:
    """The ASGI application. `identity_keys`: only a server that signs with one of them is answered (else 401)."""
    workflow = restate.Workflow(SERVICE, inactivity_timeout=LONGEST_STEP, invocation_retry_policy=calls)

    @workflow.main(name=HANDLER, workflow_retention=timedelta(days=1))
    async def run(ctx: restate.WorkflowContext, request: dict[str, Any]) -> str:
        # The key is the execution's id, in which its action stands; what the message says is compared, never used.
        execution_id = ctx.key()
        action = action_in_execution_id(execution_id)
        if action is None or request.get("execution_id") != execution_id:
            raise restate.TerminalError(f"{execution_id} is no execution")
        claims = Claims(request.get("action"), request.get("tenant_id"))
        for step in STEPS[action]:
            await _step(ctx, attempts, execution_id, step, claims)
        return Verdict.DONE.value

    return restate.app([workflow], protocol="request_response", identity_keys=list(identity_keys))


async def _step(
    ctx: restate.WorkflowContext, attempts: StepAttempts, execution_id: str, step: StepName, claims: Claims
) -> None:
    probes = Probes()
    while True:
        make = partial(_make, attempts, execution_id, step, probes, claims)
        options: restate.RunOptions[dict[str, Any]] = restate.RunOptions(type_hint=dict)
        answer = await ctx.run_typed(step.value, make, options)
        before, probes = probes, Probes.kept(answer)
        if probes.failing is None and before.failing is not None:
            ctx.clear(FAILING)
        elif probes.failing is not None and probes.failing != before.failing:
            ctx.set(FAILING, probes.failing)
        if probes.again is None:
            return
        await ctx.sleep(timedelta(seconds=max(SHORTEST_SLEEP, probes.again)))


async def _make(
    attempts: StepAttempts, execution_id: str, step: StepName, before: Probes, claims: Claims
) -> dict[str, Any]:
    """One attempt, in Restate's words: the probes as a value, errors as retryable or terminal. The engine keeps and
    shows each message. So for an error that is not ours it gets only the type. Each failure carries its own wait, so
    none counts against the server's own bound, which is for an endpoint that does not answer."""
    try:
        outcome = await attempts.make(execution_id, step, before, claims)
    except Terminal as error:  # there is no such execution, or the message is not about it
        raise restate.TerminalError(error.message) from None
    except Exception as error:
        logger.warning("%s of %s: the rows cannot be read", step, execution_id, exc_info=True)
        raise RetryableError(f"the rows cannot be read: {type(error).__name__}", retry_after=ROWS_PAUSE) from None
    if outcome.verdict is Verdict.RETRY:
        raise RetryableError(outcome.message, retry_after=timedelta(seconds=outcome.delay))
    if outcome.verdict is Verdict.STOPPED:
        raise restate.TerminalError(outcome.message, status_code=STOPPED_CODE)
    if outcome.verdict is Verdict.FAILED:
        raise restate.TerminalError(outcome.message)
    return _kept(outcome).to_keep()


def _kept(outcome: Outcome) -> Probes:
    return replace(outcome.probes, again=None) if outcome.verdict is Verdict.DONE else outcome.probes
