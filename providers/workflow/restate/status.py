"""Restate's report on an invocation in canonical words. Pure: a row of `sys_invocation` → ExecutionStatus.

| Restate | canonical |
|---|---|
| pending, ready, scheduled, inboxed, running | running |
| suspended | waiting; backing-off while the workflow's state says that the probe fails |
| backing-off | backing-off, with retry count, error and next attempt |
| paused | error |
| completed, success | succeeded |
| completed, failure | failed; cancelled when its code is 409 |
| no row | unknown |
| anything else | running, and a warning in the log |
"""

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.model import StepName, SubState
from controlplane.ports import ExecutionStatus

logger = logging.getLogger(__name__)

SERVICE = "landlord"
HANDLER = "run"
JOURNAL = "v1"
"""The sequence of commands in `app` that fits the journals in flight. Part of the deployment's URL."""

FAILING = "failing"
"""The workflow's state with the failure of the probe, for readers of the engine's progress."""

STOPPED_CODE = 409
"""Ends an execution that is no longer current. Restate uses the same code for a cancelled one."""

COLUMNS = (
    "id",
    "status",
    "retry_count",
    "last_failure",
    "last_failure_related_command_name",
    "next_retry_at",
    "completion_result",
    "completion_failure",
)
GOES_ON = ("pending", "ready", "scheduled", "inboxed", "running")
_CODE = re.compile(r"^\[(\d{3})[^]]*\] ?")


def status_of(row: Mapping[str, Any] | None, failing: str | None) -> ExecutionStatus:
    """The status for a row. `row`: COLUMNS, None for no such invocation. `failing`: the workflow's state of that
    name."""
    if row is None:
        return ExecutionStatus(SubState.UNKNOWN)
    word = row["status"]
    retries = int(row.get("retry_count") or 0)
    if word == "completed":
        return _ended(row)
    if word == "paused":
        return ExecutionStatus(SubState.ERROR, retries, _message(row) or "paused by the engine", step=_step(row))
    if word == "backing-off":
        return ExecutionStatus(SubState.BACKING_OFF, retries, _message(row), _moment(row), _step(row))
    if failing is not None:
        return ExecutionStatus(SubState.BACKING_OFF, error=failing, step=StepName.WAIT_HEALTHY)
    if word == "suspended":
        return ExecutionStatus(SubState.WAITING)
    if word not in GOES_ON:
        logger.warning("Restate says %r of %s, a word that is not known here: taken as running", word, row.get("id"))
    # For a working attempt the count is one too high, and its failure may be over.
    return ExecutionStatus(SubState.RUNNING, max(0, retries - 1), _message(row), step=_step(row))


def _ended(row: Mapping[str, Any]) -> ExecutionStatus:
    if row.get("completion_result") == "success":
        return ExecutionStatus(SubState.SUCCEEDED)
    failure = str(row.get("completion_failure") or "")
    code = _CODE.match(failure)
    stopped = code is not None and int(code[1]) == STOPPED_CODE
    return ExecutionStatus(SubState.CANCELLED if stopped else SubState.FAILED, error=_CODE.sub("", failure) or None)


def _message(row: Mapping[str, Any]) -> str | None:
    return _CODE.sub("", str(row.get("last_failure") or "")) or None


def _moment(row: Mapping[str, Any]) -> datetime | None:
    text = row.get("next_retry_at")
    return datetime.fromisoformat(text) if text else None


def _step(row: Mapping[str, Any]) -> StepName | None:
    name = row.get("last_failure_related_command_name")
    return StepName(name) if name in tuple(StepName) else None
