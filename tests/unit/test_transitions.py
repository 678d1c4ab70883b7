"""The (status × cause) table as a whole, and the promises of docs/lifecycle.md as walks through it."""

import pytest

from controlplane.errors import InvalidTransition
from controlplane.lifecycle.transitions import TABLE, Cause, as_markdown, move
from controlplane.model import Status


def walk(status: Status, *causes: Cause) -> list[Status]:
    seen = [status]
    for cause in causes:
        seen.append(move(seen[-1], cause))
    return seen


def test_a_first_provision_goes_through_planning_and_provisioning_to_ready() -> None:
    assert walk(Status.REQUESTED, Cause.PROVISION_STARTED, Cause.PLANNED, Cause.SUCCEEDED) == [
        Status.REQUESTED,
        Status.PLANNING,
        Status.PROVISIONING,
        Status.READY,
    ]


@pytest.mark.parametrize("status", [Status.READY, Status.DEGRADED, Status.FAILED])
def test_an_accepted_spec_moves_a_resting_tenant_to_updating(status: Status) -> None:
    assert move(status, Cause.SPEC_ACCEPTED) is Status.UPDATING


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.DELETED])
def test_a_delete_is_accepted_in_every_status_but_deleted(status: Status) -> None:
    assert walk(status, Cause.DELETE_ACCEPTED, Cause.DELETE_STARTED, Cause.GONE)[-1] is Status.DELETED


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("status", Status)
def test_what_the_table_does_not_have_is_refused(status: Status, cause: Cause) -> None:
    if (status, cause) in TABLE:
        assert move(status, cause) is TABLE[status, cause]
    else:
        with pytest.raises(InvalidTransition, match=status.value):
            move(status, cause)


def test_a_heal_that_is_cancelled_before_it_started_is_a_failure() -> None:
    assert move(Status.DEGRADED, Cause.FAILED) is Status.FAILED


@pytest.mark.parametrize("cause", Cause)
def test_nothing_leaves_deleted(cause: Cause) -> None:
    with pytest.raises(InvalidTransition):
        move(Status.DELETED, cause)


@pytest.mark.parametrize(
    "cause", [c for c in Cause if c not in (Cause.DELETE_ACCEPTED, Cause.DELETE_STARTED, Cause.GONE)]
)
def test_deletion_cannot_be_undone(cause: Cause) -> None:
    with pytest.raises(InvalidTransition):
        move(Status.DELETING, cause)


def test_health_moves_what_rests() -> None:
    assert move(Status.READY, Cause.UNHEALTHY) is Status.DEGRADED
    assert move(Status.FAILED, Cause.UNHEALTHY) is Status.DEGRADED
    assert move(Status.DEGRADED, Cause.RECOVERED) is Status.READY
    assert move(Status.DEGRADED, Cause.KEPT) is Status.FAILED
    with pytest.raises(InvalidTransition):
        move(Status.UPDATING, Cause.UNHEALTHY)


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.DELETED,)])
def test_every_status_has_a_way_to_deleted_and_every_working_one_to_rest(status: Status) -> None:
    reached = {status}
    while True:
        further = {after for (before, _), after in TABLE.items() if before in reached} | reached
        if further == reached:
            break
        reached = further
    assert Status.DELETED in reached
    if status is not Status.DELETING:
        assert Status.READY in reached


def test_the_printed_table_has_a_row_for_each_status_and_a_cell_for_each_cause() -> None:
    lines = as_markdown().splitlines()
    assert len(lines) == 2 + len(Status)
    assert all(line.count("|") == len(Cause) + 2 for line in lines)
