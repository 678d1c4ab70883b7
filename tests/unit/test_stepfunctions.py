"""State machines as they are made, and Step Functions' words in ours."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.model import STEPS, Action, Step, StepName, StepState, SubState
from providers.workflow.stepfunctions.machines import CANCELLED, RETRYABLE, STOPPED, definition, pause_after
from providers.workflow.stepfunctions.status import status_of

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(id: int, type: str, **details: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "timestamp": AT, **details}


def entered(id: int, name: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    details = {"name": name, "input": json.dumps(given or {})}
    return event(id, "TaskStateEntered", stateEnteredEventDetails=details)


def row(name: StepName, state: StepState, error: str | None = None, attempts: int = 1) -> Step:
    return Step("x", name, state, attempts, error)


def running(*events: dict[str, Any], rows: tuple[Step, ...] = ()) -> Any:
    return status_of({"status": "RUNNING"}, events, rows, current=True)


@pytest.mark.parametrize("action", list(Action))
def test_a_machine_does_the_steps_of_its_action_each_bounded(action: Action) -> None:
    machine = json.loads(definition(action, "https://queue"))
    tasks = {name: state for name, state in machine["States"].items() if state["Type"] == "Task"}
    assert set(tasks) == {step.value for step in STEPS[action]}
    for state in tasks.values():
        assert state["Resource"].endswith("sqs:sendMessage.waitForTaskToken")
        assert state["HeartbeatSeconds"] < state["TimeoutSeconds"]
        assert state["Retry"][0]["MaxAttempts"]
        body = state["Parameters"]["MessageBody"]
        assert (body["action"], body["tenant_id.$"]) == (action.value, "$.tenant_id"), "the worker compares them"
    for state in machine["States"].values():
        targets = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", []))]
        assert all(target in machine["States"] for target in targets if target)
    assert definition(action, "https://queue") == definition(action, "https://queue")


@pytest.mark.parametrize("action", list(Action))
def test_only_the_rows_bound_attempts_and_only_a_lost_message_expires(action: Action) -> None:
    machine = json.loads(definition(action, "https://queue"))
    for name, state in machine["States"].items():
        if state["Type"] != "Task":
            continue
        (retry,) = state["Retry"]
        assert set(retry["ErrorEquals"]) == {RETRYABLE, "States.Timeout", "States.HeartbeatTimeout"}
        assert retry["MaxAttempts"] == 99_999_999, "the most that AWS takes"
        assert retry["MaxDelaySeconds"] == (120 if name == "retire_previous" else 30)
        assert state["HeartbeatSeconds"] >= 1800, "counted from sending: a backlog is no death"


def test_a_message_that_nobody_has_taken_is_waiting() -> None:
    status = running(entered(1, "plan"), event(2, "TaskScheduled"), event(3, "TaskSubmitted"))
    assert (status.sub_state, status.step) == (SubState.WAITING, StepName.PLAN)


def test_a_step_that_works_is_running() -> None:
    status = running(entered(1, "plan"), event(2, "TaskSubmitted"), rows=(row(StepName.PLAN, StepState.RUNNING),))
    assert status.sub_state is SubState.RUNNING


def test_a_failed_attempt_is_backing_off_with_count_text_and_next_attempt() -> None:
    events = (entered(1, "apply_compute"), event(2, "TaskFailed"), event(3, "TaskSubmitted"), event(4, "TaskFailed"))
    status = running(*events, rows=(row(StepName.APPLY_COMPUTE, StepState.BACKING_OFF, "no such image"),))
    assert (status.sub_state, status.retry_count, status.error) == (SubState.BACKING_OFF, 2, "no such image")
    assert status.next_attempt_at == AT + timedelta(seconds=pause_after(2, StepName.APPLY_COMPUTE))


def failed_attempts(first: int, many: int, *, named: bool = True) -> list[dict[str, Any]]:
    """As AWS writes each: scheduled, started, submitted, failed."""
    parameters = json.dumps({"QueueUrl": "https://queue", "MessageBody": {"token": "t", "step": "retire_previous"}})
    scheduled = {"taskScheduledEventDetails": {"parameters": parameters}} if named else {}
    found = []
    for id in range(first, first + 4 * many, 4):
        found += [
            event(id, "TaskScheduled", **scheduled),
            event(id + 1, "TaskStarted"),
            event(id + 2, "TaskSubmitted"),
            event(id + 3, "TaskFailed"),
        ]
    return found


@pytest.mark.parametrize("named", [True, False])
def test_a_step_that_failed_so_often_that_its_beginning_is_not_seen_is_backing_off(named: bool) -> None:
    """By the message of an attempt, or else by the row that is on."""
    done = row(StepName.PLAN, StepState.SUCCEEDED)
    on = row(StepName.RETIRE_PREVIOUS, StepState.BACKING_OFF, "the old platform is away", attempts=300)
    status = running(*failed_attempts(1151, 12, named=named), rows=(done, on))
    assert (status.sub_state, status.step) == (SubState.BACKING_OFF, StepName.RETIRE_PREVIOUS)
    assert (status.retry_count, status.error) == (300, "the old platform is away")
    assert status.next_attempt_at == AT + timedelta(seconds=120)
    works = running(
        *failed_attempts(1151, 12, named=named),
        event(1199, "TaskScheduled"),
        rows=(done, row(StepName.RETIRE_PREVIOUS, StepState.RUNNING, attempts=301)),
    )
    assert works.sub_state is SubState.RUNNING


def test_a_probe_that_fails_is_backing_off() -> None:
    status = running(entered(9, "pause", {"probes": {"failing": "GET / is 500"}}))
    assert (status.sub_state, status.error) == (SubState.BACKING_OFF, "GET / is 500")


def test_ends() -> None:
    def ended(word: str, current: bool = True, rows: tuple[Step, ...] = (), **given: Any) -> Any:
        return status_of({"status": word, **given}, (), rows, current=current)

    assert ended("SUCCEEDED").sub_state is SubState.SUCCEEDED
    for word in ("FAILED", "TIMED_OUT", "ABORTED"):
        assert ended(word, error="E", cause="why").sub_state is SubState.FAILED
        assert ended(word, error="E", cause="why").error == "why"
    failed = (row(StepName.PLAN, StepState.FAILED, "never", attempts=3),)
    assert (ended("FAILED", rows=failed).error, ended("FAILED", rows=failed).retry_count) == ("never", 2)
    assert ended("FAILED", error=STOPPED).sub_state is SubState.CANCELLED
    assert ended("ABORTED", error=CANCELLED).sub_state is SubState.CANCELLED
    assert ended("ABORTED", current=False).sub_state is SubState.CANCELLED


def test_an_unknown_word_is_running_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        status = status_of({"status": "PENDING_REDRIVE"}, (), (), current=True)
    assert status.sub_state is SubState.RUNNING
    assert "PENDING_REDRIVE" in caplog.text
