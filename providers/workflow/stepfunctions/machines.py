"""The lifecycle in the Amazon States Language: one state machine for each action. Pure.

Each step is a task that sends a message with a token to the queue and waits until a step worker answers the token.
wait_healthy is a loop of short probes with waits between them, so that no worker is held while a tenant starts.
"""

import json
from typing import Any

from controlplane.model import STEPS, Action, StepName
from controlplane.steps.probes import Probes

RETRYABLE = "Landlord.Retryable"
FAILED = "Landlord.Failed"
STOPPED = "Landlord.Stopped"
"""The execution is no longer current."""
CANCELLED = "Landlord.Cancelled"
"""We stopped the execution."""
POISONED = "Landlord.Poisoned"

STEP_SECONDS = 86400
HEARTBEAT_SECONDS = 1800
"""AWS counts it from the moment at which the message is sent, so it must tolerate a backlog. If a worker dies, the
queue notices and soon gives its message to another. This time is for a lost message."""

INTERVAL_SECONDS = 1
RATE = 2.0
LONGEST_SECONDS = 30
LONGEST_RETIRE_SECONDS = 120
"""For retire_previous, which is tried until it works: for days, in one history of 25,000 events."""
ATTEMPTS = 99_999_999
"""The most that AWS accepts. The setting bounds failed attempts in the rows; an expired token is none."""


def definition(action: Action, queue_url: str) -> str:
    """Canonical JSON of the state machine, so that an equal one can be recognised."""
    steps = STEPS[action]
    states: dict[str, Any] = {}
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        task = _task(action, step, queue_url)
        states |= _probing(following, task) if step is StepName.WAIT_HEALTHY else _plain(step, following, task)
    machine = {"Comment": f"Landlord: {action}", "StartAt": _first(steps[0]), "States": states}
    return json.dumps(machine, sort_keys=True)


def pause_after(failures: int, step: StepName | None) -> float:
    """Seconds that the engine waits after this many failures of a step in a row."""
    return float(min(longest_pause(step), INTERVAL_SECONDS * RATE ** min(failures - 1, 10)))


def longest_pause(step: StepName | None) -> int:
    return LONGEST_RETIRE_SECONDS if step is StepName.RETIRE_PREVIOUS else LONGEST_SECONDS


def _plain(step: StepName, following: StepName | None, task: dict[str, Any]) -> dict[str, Any]:
    return {step.value: {**task, "ResultPath": None, **_next(following)}}


def _probing(following: StepName | None, task: dict[str, Any]) -> dict[str, Any]:
    """first_look → wait_healthy → looked: healthy → on; not yet → pause → wait_healthy."""
    task["Parameters"]["MessageBody"]["probes.$"] = "$.probes"
    return {
        "first_look": {
            "Type": "Pass",
            "Result": Probes().to_keep(),
            "ResultPath": "$.probes",
            "Next": StepName.WAIT_HEALTHY.value,
        },
        StepName.WAIT_HEALTHY.value: {**task, "ResultPath": "$.probes", "Next": "looked"},
        "looked": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.probes.again", "IsNull": False, "Next": "pause"}],
            "Default": _first(following) if following else "done",
        },
        "pause": {"Type": "Wait", "SecondsPath": "$.probes.again", "Next": StepName.WAIT_HEALTHY.value},
        **({} if following else {"done": {"Type": "Succeed"}}),
    }


def _task(action: Action, step: StepName, queue_url: str) -> dict[str, Any]:
    """`action` and `tenant_id` are for the worker, which compares them with the row."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {
            "QueueUrl": queue_url,
            "MessageBody": {
                "token.$": "$$.Task.Token",
                "execution_id.$": "$.execution_id",
                "step": step.value,
                "action": action.value,
                "tenant_id.$": "$.tenant_id",
            },
        },
        "TimeoutSeconds": STEP_SECONDS,
        "HeartbeatSeconds": HEARTBEAT_SECONDS,
        "Retry": [
            {
                "ErrorEquals": [RETRYABLE, "States.Timeout", "States.HeartbeatTimeout"],
                "IntervalSeconds": INTERVAL_SECONDS,
                "BackoffRate": RATE,
                "MaxDelaySeconds": longest_pause(step),
                "MaxAttempts": ATTEMPTS,
            }
        ],
    }


def _next(following: StepName | None) -> dict[str, Any]:
    return {"Next": _first(following)} if following else {"End": True}


def _first(step: StepName) -> str:
    return "first_look" if step is StepName.WAIT_HEALTHY else step.value
