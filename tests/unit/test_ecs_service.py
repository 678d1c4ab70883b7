"""What ECS says of a service, in Landlord's words."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from controlplane.ports import OWNER_LABEL, Origin, ResourceState
from providers.compute.ecs.service import DESIRED_TAG, falls_short, resource, stop_reason, tags, wanted_count
from tests.unit.builders import OWNERSHIP

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(rollout: str = "COMPLETED", *, desired: int = 2, running: int = 2, **changes: Any) -> dict[str, Any]:
    primary = {"id": "ecs-svc/2", "status": "PRIMARY", "rolloutState": rollout, "failedTasks": 0, "createdAt": NOW}
    primary |= changes.pop("primary", {})
    old = {"id": "ecs-svc/1", "status": "ACTIVE", "rolloutState": "FAILED"}
    return {
        "serviceArn": f"arn:aws:ecs:eu-central-1:123456789012:service/tenants/{OWNERSHIP.name}",
        "serviceName": OWNERSHIP.name,
        "status": "ACTIVE",
        "desiredCount": desired,
        "runningCount": running,
        "deployments": [old, primary],
        "createdAt": NOW,
        "tags": tags({**OWNERSHIP.labels(), DESIRED_TAG: "2"}),
    } | changes


@pytest.mark.parametrize(
    ("seen", "state", "verdict", "detail"),
    [
        (service(), ResourceState.RUNNING, "healthy", ""),
        (service(running=3), ResourceState.RUNNING, "healthy", ""),
        (service(running=0), ResourceState.RUNNING, "unhealthy", "0 of 2 tasks run"),
        (service(running=1), ResourceState.RUNNING, "recovering", "1 of 2 tasks run"),
        (service(running=1, pendingCount=1), ResourceState.RUNNING, "recovering", "1 of 2 tasks run"),
        (
            service(desired=1, running=0, pendingCount=1),
            ResourceState.RUNNING,
            "recovering",
            "0 of 1 tasks run",
        ),
        (
            service("FAILED", running=1),
            ResourceState.RUNNING,
            "unhealthy",
            "1 of 2 tasks run; the rollout failed: no reason given",
        ),
        (service("IN_PROGRESS", running=0), ResourceState.STARTING, "starting", "0 of 2 tasks run"),
        (service("IN_PROGRESS"), ResourceState.RUNNING, "starting", "2 of 2 tasks run"),
        (
            service("IN_PROGRESS", running=0, primary={"failedTasks": 2}),
            ResourceState.STARTING,
            "starting",
            "0 of 2 tasks run; 2 failed to start",
        ),
        (
            service("FAILED", running=0, primary={"rolloutStateReason": "circuit breaker: tasks failed."}),
            ResourceState.STOPPED,
            None,
            "0 of 2 tasks run; the rollout failed: circuit breaker: tasks failed",
        ),
        (
            service("FAILED"),
            ResourceState.RUNNING,
            "unhealthy",
            "2 of 2 tasks run; the rollout failed: no reason given",
        ),
        (service(desired=0, running=0), ResourceState.STOPPED, None, "the service is scaled to no tasks"),
        (
            service(desired=0, running=1),
            ResourceState.STOPPED,
            None,
            "the service is scaled to no tasks; 1 of its tasks are still stopping",
        ),
        (
            service(desired=0, running=1, status="DRAINING"),
            ResourceState.STOPPED,
            None,
            "the service is draining; 1 of its tasks are still stopping",
        ),
    ],
)
def test_states(seen: dict[str, Any], state: ResourceState, verdict: str | None, detail: str) -> None:
    found = resource(seen, None)
    assert found is not None
    assert (found.state, found.platform_health, found.detail) == (state, verdict, detail)
    assert (found.origin, found.endpoints) == (OWNERSHIP, ())


@pytest.mark.parametrize("seen", [service(status="INACTIVE"), service(tags=[]), service(tags=None)])
def test_what_is_gone_or_not_ours_is_nothing(seen: dict[str, Any]) -> None:
    assert resource(seen, None) is None


def test_what_bears_our_owner_label_and_no_other_is_ours() -> None:
    found = resource(service(tags=tags({OWNER_LABEL: "test", "landlord.generation": "many"})), None)
    assert found is not None
    assert found.origin == Origin("test", "", UUID(int=0), 0, 0, "", "")


def test_reasons_and_the_newest_event_of_this_rollout_are_told() -> None:
    events = [
        {"createdAt": NOW + timedelta(seconds=9), "message": "(service x) has started 1 tasks."},
        {
            "createdAt": NOW + timedelta(seconds=8),
            "message": "(service x) was unable to place a task because of ports.",
        },
        {"createdAt": NOW + timedelta(seconds=7), "message": "(service x) was unable to place a task. Older."},
    ]
    found = resource(service("IN_PROGRESS", running=1, events=events), None, ["a", "b", "c", "d"])
    assert found is not None
    assert found.detail == "1 of 2 tasks run; a; b; c; (service x) was unable to place a task because of ports"
    before = [{"createdAt": NOW - timedelta(seconds=1), "message": "was unable to place a task, long ago"}]
    found = resource(service("IN_PROGRESS", running=1, events=before), None)
    assert found is not None
    assert found.detail == "1 of 2 tasks run"


@pytest.mark.parametrize(
    ("seen", "asks"),
    [
        (service(), False),
        (service("IN_PROGRESS", running=0), False),
        (service("IN_PROGRESS", running=0, primary={"failedTasks": 1}), True),
        (service("FAILED", running=0), True),
        (service(running=1), True),
        (service(desired=0, running=0), False),
    ],
)
def test_reasons_are_asked_for_where_tasks_have_ended(seen: dict[str, Any], asks: bool) -> None:
    assert falls_short(seen) is asks


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({}, "a task stopped"),
        (
            {"stoppedReason": "Task failed ELB\nhealth checks", "containers": [{"name": "web", "exitCode": 0}]},
            "Task failed ELB health checks",
        ),
        (
            {
                "stoppedReason": "Essential container in task exited",
                "containers": [
                    {"name": "web", "exitCode": 137, "reason": "OutOfMemoryError: killed"},
                    {"name": "side", "reason": "CannotStartContainerError"},
                ],
            },
            "Essential container in task exited; web: exit code 137, OutOfMemoryError: killed; "
            "side: CannotStartContainerError",
        ),
    ],
)
def test_stop_reasons(task: dict[str, Any], reason: str) -> None:
    assert stop_reason(task) == reason


@pytest.mark.parametrize(("tag", "count"), [("3", 3), ("0", 1), ("many", 1), ("", 1)])
def test_the_wanted_count_survives_a_tag_that_somebody_changed(tag: str, count: int) -> None:
    assert wanted_count({"tags": tags({DESIRED_TAG: tag})}) == count
