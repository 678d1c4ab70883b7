"""What ECS says of a service on its way up and on its way out, in Landlord's words."""

from typing import Any

import pytest

from controlplane.errors import Retryable
from controlplane.ports import ResourceState, Restarts
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import SECRET, desire
from tests.aws import AwsFront
from tests.contract.ecs.bench import CLUSTER, LISTED, OPEN, active_definitions, definition, inspected, web


def rollout(**changes: Any) -> Any:
    """An edit of what DescribeServices answers: the primary deployment's fields, and `running` tasks."""
    running = changes.pop("running", None)

    def edit(answer: dict[str, Any]) -> None:
        for service in answer["services"]:
            service["deployments"][0] |= changes
            if running is not None:
                service["runningCount"] = running

    return edit


@pytest.mark.parametrize(
    ("edit", "state", "verdict", "detail"),
    [
        (rollout(rolloutState="IN_PROGRESS", running=1), ResourceState.STARTING, "starting", "1 of 2 tasks run"),
        (rollout(rolloutState="IN_PROGRESS"), ResourceState.RUNNING, "starting", "2 of 2 tasks run"),
        (rollout(running=1), ResourceState.RUNNING, "recovering", "1 of 2 tasks run"),
        (rollout(running=0), ResourceState.RUNNING, "unhealthy", "0 of 2 tasks run"),
        (
            rollout(
                rolloutState="FAILED", rolloutStateReason="ECS deployment circuit breaker: tasks failed.", running=0
            ),
            ResourceState.STOPPED,
            None,
            "0 of 2 tasks run; the rollout failed: ECS deployment circuit breaker: tasks failed",
        ),
        (
            rollout(rolloutState="FAILED", rolloutStateReason="Tasks failed.", running=1),
            ResourceState.RUNNING,
            "unhealthy",
            "1 of 2 tasks run; the rollout failed: Tasks failed",
        ),
    ],
)
async def test_a_rollout_that_is_not_done_is_not_healthy(
    provider: EcsCompute,
    installation_id: str,
    ecs: AwsFront,
    edit: Any,
    state: ResourceState,
    verdict: str,
    detail: str,
) -> None:
    desired = desire(installation_id, web())
    await provider.apply(desired, OPEN)
    ecs.change("DescribeServices", edit)
    observed = await provider.observe(desired.origin)
    assert observed is not None
    assert (observed.state, observed.platform_health, observed.detail) == (state, verdict, detail)
    (listed,) = await provider.list_owned(installation_id)
    assert (listed.state, listed.platform_health) == (state, verdict)


async def test_why_tasks_stopped_is_told_without_secrets(
    provider: EcsCompute, installation_id: str, ecs: AwsFront, client: Any
) -> None:
    resource = await provider.apply(desire(installation_id, web(task_definition=definition(TOKEN=SECRET))), OPEN)
    (service,) = client.describe_services(cluster=CLUSTER, services=[resource.name])["services"]
    for number, started_by in enumerate((service["deployments"][0]["id"], "somebody-else")):
        (task,) = client.run_task(
            cluster=CLUSTER, taskDefinition=service["taskDefinition"], startedBy=started_by, launchType="FARGATE"
        )["tasks"]
        reason = f"CannotPullContainerError {number}: pull access denied for web:1 ({SECRET})"
        client.stop_task(cluster=CLUSTER, task=task["taskArn"], reason=reason)
    ecs.change("DescribeServices", rollout(rolloutState="IN_PROGRESS", failedTasks=3, running=0))
    told = (await inspected(provider, resource)).detail
    assert told == "0 of 2 tasks run; 3 failed to start; CannotPullContainerError 0: pull access denied for web:1 (***)"


async def test_a_rollout_that_failed_is_tried_again_by_start_and_one_at_work_is_let_be(
    provider: EcsCompute, installation_id: str, ecs: AwsFront
) -> None:
    resource = await provider.apply(desire(installation_id, web()), OPEN)
    updates = ecs.calls["UpdateService"]
    await provider.start(resource.id)
    assert ecs.calls["UpdateService"] == updates
    ecs.change("DescribeServices", rollout(rolloutState="FAILED", running=0))
    await provider.start(resource.id)
    assert ecs.calls["UpdateService"] == updates + 1


async def test_a_name_that_is_still_draining_can_be_taken_later(
    provider: EcsCompute, installation_id: str, ecs: AwsFront
) -> None:
    """Nobody sees it before the create, which ECS then refuses."""
    desired = desire(installation_id, web())
    first = await provider.apply(desired, OPEN)

    def draining(answer: dict[str, Any]) -> None:
        for service in answer["services"]:
            service |= {"status": "DRAINING", "desiredCount": 0, "runningCount": 1}

    ecs.change("DescribeServices", draining)
    ecs.refuse("CreateService", "InvalidParameterException", "Unable to Start a service that is still Draining.")
    with pytest.raises(Retryable, match=r"still being deleted \(1 of its tasks are still stopping\)"):
        await provider.create(desired)
    with pytest.raises(Retryable, match="still being deleted"):
        await provider.apply(desired, OPEN)
    seen = await inspected(provider, first)
    assert (seen.state, seen.detail) == (
        ResourceState.STOPPED,
        "the service is draining; 1 of its tasks are still stopping",
    )


@pytest.mark.parametrize("kind", ["runningCount", "pendingCount"])
async def test_a_service_is_not_gone_before_its_tasks_are(
    ecs: AwsFront, installation_id: str, client: Any, kind: str
) -> None:
    impatient = EcsCompute(endpoint_url=ecs.url, policy=LISTED, drain_seconds=0)
    resource = await impatient.apply(desire(installation_id, web()), OPEN)

    def still_one(answer: dict[str, Any]) -> None:
        answer["service"][kind] = 1

    ecs.change("UpdateService", still_one)
    with pytest.raises(Retryable, match="still draining: 1 tasks running or pending"):
        await impatient.destroy(resource.id)
    assert ecs.calls.get("DeleteService", 0) == 0
    (service,) = client.describe_services(cluster=CLUSTER, services=[resource.name])["services"]
    assert (service["status"], service["desiredCount"]) == ("ACTIVE", 0)
    await impatient.destroy(resource.id)
    assert await impatient.inspect(resource.id) is None
    assert active_definitions(client, resource.name) == []
    await impatient.close()


async def test_destroy_waits_for_tasks_and_for_the_service(
    provider: EcsCompute, installation_id: str, ecs: AwsFront
) -> None:
    """It looks again until ECS says so: first its tasks end, then the service, which drains in between."""
    resource = await provider.apply(desire(installation_id, web()), OPEN)

    def still_one(answer: dict[str, Any]) -> None:
        answer["service"]["runningCount"] = 1

    def still_draining(answer: dict[str, Any]) -> None:
        answer["service"]["status"] = "DRAINING"

    ecs.change("UpdateService", still_one)
    ecs.change("DeleteService", still_draining)
    looked = ecs.calls["DescribeServices"]
    await provider.destroy(resource.id)
    assert ecs.calls["DescribeServices"] - looked == 3
    assert await provider.inspect(resource.id) is None


async def test_a_restart_is_a_new_rollout_that_stops_nothing_first(
    provider: EcsCompute, installation_id: str, client: Any
) -> None:
    assert isinstance(provider, Restarts)
    before = await inspected(provider, await provider.apply(desire(installation_id, web()), OPEN))
    await provider.restart(before.id)
    after = await inspected(provider, before)
    assert (after.id, after.state) == (before.id, ResourceState.RUNNING)
    assert after.launch != before.launch
    (service,) = client.describe_services(cluster=CLUSTER, services=[before.name])["services"]
    assert service["desiredCount"] == 2
    await provider.destroy(before.id)
    await provider.restart(before.id)
    assert await provider.inspect(before.id) is None, "the missing is no error"
