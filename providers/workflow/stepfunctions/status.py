"""Step Functions' report on an execution in canonical words. Pure: descriptions and events → ExecutionStatus.

| Step Functions | canonical |
|---|---|
| RUNNING, a step works | running |
| RUNNING, message sent and not yet taken, or between two probes | waiting |
| RUNNING, last event a failed attempt with a retry due; or the probe fails | backing-off |
| SUCCEEDED | succeeded |
| FAILED, TIMED_OUT, ABORTED | failed; cancelled when we stopped it or it is no longer current |
| no such execution | unknown |
| anything else | running, and a warning in the log |
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from controlplane.model import Step, StepName, StepState, SubState
from controlplane.ports import ExecutionStatus
from providers.workflow.stepfunctions.machines import CANCELLED, STOPPED, pause_after

logger = logging.getLogger(__name__)

FAILURES = ("TaskFailed", "TaskTimedOut")
ENDED = ("FAILED", "TIMED_OUT", "ABORTED")


def status_of(
    described: Mapping[str, Any], events: Sequence[Mapping[str, Any]], steps: Sequence[Step], *, current: bool
) -> ExecutionStatus:
    """The status of an execution. `described`: DescribeExecution. `events`: the newest of its history, in any order.
    `steps`: rows, which have the texts of errors and know whether a worker has begun. `current`: the execution's row is
    current, so we have not stopped it."""
    word = described["status"]
    if word == "SUCCEEDED":
        return ExecutionStatus(SubState.SUCCEEDED)
    if word in ENDED:
        return _ended(described, steps, current=current)
    if word != "RUNNING":
        logger.warning("Step Functions says %r of %s: taken as running", word, described.get("name"))
    return _running(events, {step.name: step for step in steps})


def _ended(described: Mapping[str, Any], steps: Sequence[Step], *, current: bool) -> ExecutionStatus:
    error, cause = described.get("error"), described.get("cause")
    if error in (STOPPED, CANCELLED) or (described["status"] == "ABORTED" and not current):
        return ExecutionStatus(SubState.CANCELLED, error=cause)
    failed = next((step for step in steps if step.state is StepState.FAILED), None)
    if failed is not None:
        return ExecutionStatus(SubState.FAILED, max(0, failed.attempts - 1), failed.error, step=failed.name)
    return ExecutionStatus(SubState.FAILED, error=cause or error or f"{described['status']} without a reason")


def _running(events: Sequence[Mapping[str, Any]], rows: Mapping[StepName, Step]) -> ExecutionStatus:
    newest = sorted(events, key=lambda event: int(event["id"]), reverse=True)
    if not newest:
        return ExecutionStatus(SubState.RUNNING)
    entered = next((event for event in newest if "stateEnteredEventDetails" in event), None)
    state = entered["stateEnteredEventDetails"] if entered is not None else {}
    step = _step(state["name"]) if entered is not None else _step_of_messages(newest, rows)
    within = newest if entered is None else [event for event in newest if int(event["id"]) > int(entered["id"])]
    failed = [event for event in within if event["type"] in FAILURES]
    row = rows.get(step) if step is not None else None
    # If a step failed so often that its beginning is not among these events, the rows know the count.
    failures = len(failed) if entered is not None or row is None else max(len(failed), row.attempts)
    if within and within[0]["type"] in FAILURES:
        next_at = within[0]["timestamp"] + timedelta(seconds=pause_after(failures, step))
        return ExecutionStatus(SubState.BACKING_OFF, failures, _text(row, within[0]), next_at, step)
    failing = _failing(state.get("input"))
    if failing is not None:
        return ExecutionStatus(SubState.BACKING_OFF, error=failing, step=StepName.WAIT_HEALTHY)
    works = row is not None and row.state is StepState.RUNNING and step is not StepName.WAIT_HEALTHY
    return ExecutionStatus(
        SubState.RUNNING if works else SubState.WAITING,
        failures,
        _text(row, failed[0]) if failed else None,
        step=step,
    )


def _step(name: object) -> StepName | None:
    return StepName(str(name)) if name in tuple(StepName) else None


def _step_of_messages(newest: Sequence[Mapping[str, Any]], rows: Mapping[StepName, Step]) -> StepName | None:
    """The step of the newest message, which each attempt sends; else the active step in the rows."""
    for event in newest:
        try:
            sent = json.loads(event["taskScheduledEventDetails"]["parameters"])["MessageBody"]["step"]
        except (KeyError, TypeError, ValueError):
            continue
        return _step(sent)
    return next((name for name, row in rows.items() if row.state in (StepState.RUNNING, StepState.BACKING_OFF)), None)


def _text(row: Step | None, failure: Mapping[str, Any]) -> str:
    if row is not None and row.error:
        return row.error
    if failure["type"] == "TaskTimedOut":
        return "no step worker answered in time"
    details = failure.get("taskFailedEventDetails", {})
    return str(details.get("cause") or details.get("error") or failure["type"])


def _failing(given: str | None) -> str | None:
    """The failure of the last probe, from the state's input."""
    try:
        probes = json.loads(given or "{}").get("probes") or {}
    except ValueError:
        return None
    return probes.get("failing") if isinstance(probes, dict) else None
