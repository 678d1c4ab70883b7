"""Restate's words in ours."""

import logging
from typing import Any

import pytest

from controlplane.model import StepName, SubState
from controlplane.ports import ExecutionStatus
from providers.workflow.restate.status import status_of


def row(status: str, **values: Any) -> dict[str, Any]:
    return {"id": "inv_1", "status": status, **values}


@pytest.mark.parametrize(
    ("word", "sub_state"),
    [
        ("pending", SubState.RUNNING),
        ("ready", SubState.RUNNING),
        ("inboxed", SubState.RUNNING),
        ("scheduled", SubState.RUNNING),
        ("running", SubState.RUNNING),
        ("suspended", SubState.WAITING),
        ("backing-off", SubState.BACKING_OFF),
        ("paused", SubState.ERROR),
    ],
)
def test_words(word: str, sub_state: SubState) -> None:
    assert status_of(row(word), None).sub_state is sub_state


def test_no_row_is_unknown() -> None:
    assert status_of(None, None) == ExecutionStatus(SubState.UNKNOWN)


def test_an_unknown_word_is_running_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert status_of(row("levitating"), None).sub_state is SubState.RUNNING
    assert "levitating" in caplog.text


def test_a_backoff_shows_count_error_step_and_next_attempt() -> None:
    status = status_of(
        row(
            "backing-off",
            retry_count=2,
            last_failure="[500] no such image: x:1",
            last_failure_related_command_name="apply_compute",
            next_retry_at="2026-01-01T00:00:00Z",
        ),
        None,
    )
    assert (status.retry_count, status.error, status.step) == (2, "no such image: x:1", StepName.APPLY_COMPUTE)
    assert status.next_attempt_at is not None
    assert status.next_attempt_at.utcoffset() is not None


def test_ends() -> None:
    assert status_of(row("completed", completion_result="success"), None) == ExecutionStatus(SubState.SUCCEEDED)
    failed = status_of(row("completed", completion_result="failure", completion_failure="[500] never"), None)
    assert failed == ExecutionStatus(SubState.FAILED, error="never")
    stopped = status_of(row("completed", completion_result="failure", completion_failure="[409] cancelled"), None)
    assert stopped == ExecutionStatus(SubState.CANCELLED, error="cancelled")


def test_a_probe_that_fails_is_a_backoff() -> None:
    for word in ("running", "suspended"):
        assert status_of(row(word), "GET / is 500") == ExecutionStatus(
            SubState.BACKING_OFF, error="GET / is 500", step=StepName.WAIT_HEALTHY
        )
