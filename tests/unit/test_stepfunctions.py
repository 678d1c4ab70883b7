"""State machines as they are made, and Step Functions' words in ours."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.model import STEPS, Action, Step, StepName, StepState, SubState
from providers.workflow.stepfunctions.machines import CANCELLED, STOPPED, definition, pause_after
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
    for state in machine["States"].values():
        targets = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", []))]
        assert all(target in machine["States"] for target in targets if target)
    assert definition(action, "https://queue") == definition(action, "https://queue")


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
    assert status.next_attempt_at == AT + timedelta(seconds=pause_after(2))


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
