"""What ecs makes in an account, finds there again, and leaves to nobody."""

import asyncio
import threading
from typing import Any
from uuid import uuid4

import pytest

from controlplane.errors import NameConflict, NotAvailableYet, NotCurrent
from controlplane.model import HealthSpec
from controlplane.ports import KeepsBelongings, ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import Gate, desire
from tests.aws import ACCOUNT, REGION, Answer, AwsFront, Forward, refusal
from tests.contract.ecs.bench import CLUSTER, OPEN, active_definitions, definition, inspected, web


async def test_a_service_bears_our_tags_and_runs_what_was_asked_for(
    provider: EcsCompute, installation_id: str, client: Any
) -> None:
    resource = await provider.apply(desire(installation_id, web(launch_type="EC2")), OPEN)
    name = resource.origin.name
    assert resource.id == f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/{name}"
    (service,) = client.describe_services(cluster=CLUSTER, services=[name], include=["TAGS"])["services"]
    assert (service["desiredCount"], service["launchType"], service["propagateTags"]) == (2, "EC2", "SERVICE")
    assert resource.origin.labels().items() <= {tag["key"]: tag["value"] for tag in service["tags"]}.items()
    assert active_definitions(client, name) == [service["taskDefinition"]]
    described = client.describe_task_definition(taskDefinition=service["taskDefinition"], include=["TAGS"])
    assert {tag["key"]: tag["value"] for tag in described["tags"]} == resource.origin.labels()
    prober = HealthProber()
    result = await prober.probe(await inspected(provider, resource), HealthSpec())
    await prober.close()
    assert (resource.endpoints, result.healthy) == ((), True)


async def test_what_stands_around_a_service_is_made_with_it(
    provider: EcsCompute, installation_id: str, client: Any, ecs: AwsFront
) -> None:
    """As the emulator keeps it; it keeps no Service Connect, so the request is looked at."""
    asked: list[dict[str, Any]] = []
    create = ecs.rules["CreateService"]

    def look(request: dict[str, Any], forward: Forward) -> Answer:
        asked.append(request)
        return create(request, forward)

    ecs.rules["CreateService"] = look
    opened = definition()
    opened["containerDefinitions"][0]["portMappings"] = [{"containerPort": 80}]
    group = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/acme/0123456789abcdef"
    around = {
        "capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 1}],
        "load_balancers": [{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
        "service_registries": [{"registryArn": f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:service/srv-acme"}],
        "service_connect": {"enabled": True, "namespace": "tenants"},
        "health_check_grace_period_seconds": 30,
    }
    resource = await provider.apply(desire(installation_id, web(task_definition=opened, **around)), OPEN)
    (service,) = client.describe_services(cluster=CLUSTER, services=[resource.name])["services"]
    assert service["loadBalancers"] == around["load_balancers"]
    assert service["serviceRegistries"] == around["service_registries"]
    (request,) = asked
    assert request["capacityProviderStrategy"] == around["capacity_provider_strategy"]
    assert request["serviceConnectConfiguration"] == around["service_connect"]
    assert (request["healthCheckGracePeriodSeconds"], request["desiredCount"]) == (30, 0)


async def test_no_task_runs_before_the_gate_was_asked_again(
    provider: EcsCompute, installation_id: str, client: Any, ecs: AwsFront
) -> None:
    with pytest.raises(NotCurrent) as refused:
        await provider.apply(desire(installation_id, web()), Gate(True, False))
    (service,) = client.describe_services(cluster=CLUSTER, services=[refused.value.made])["services"]
    assert service["desiredCount"] == 0
    assert ecs.calls.get("UpdateService", 0) == 0
    left = await provider.inspect(str(refused.value.made))
    assert left is not None
    assert (left.state, left.detail) == (ResourceState.STOPPED, "the service is scaled to no tasks")


async def test_its_own_definitions_go_with_it_and_those_of_others_stay(
    provider: EcsCompute, another: EcsCompute, installation_id: str, client: Any
) -> None:
    family = f"shared-{uuid4().hex[:8]}"
    shared = client.register_task_definition(family=family, **definition())["taskDefinition"]["taskDefinitionArn"]
    named = await provider.apply(desire(installation_id, web(task_definition=shared)), OPEN)
    desired = desire(installation_id, web())
    inline, _ = await asyncio.gather(provider.apply(desired, OPEN), another.apply(desired, OPEN))
    stranger = client.register_task_definition(family=inline.name, **definition())["taskDefinition"]
    await provider.destroy(named.id)
    await provider.destroy(inline.id)
    assert active_definitions(client, family) == [shared]
    assert active_definitions(client, inline.name) == [stranger["taskDefinitionArn"]]
    client.deregister_task_definition(taskDefinition=stranger["taskDefinitionArn"])


async def test_a_definition_whose_service_was_never_made_goes_with_the_tenant(
    provider: EcsCompute, installation_id: str, client: Any
) -> None:
    desired = desire(installation_id, web(cluster="no-such-cluster"))
    with pytest.raises(NotAvailableYet, match="no such ECS cluster") as refused:
        await provider.apply(desired, OPEN)
    assert refused.value.fields["code"] == "ClusterNotFoundException"
    assert len(active_definitions(client, desired.origin.name)) == 1
    assert isinstance(provider, KeepsBelongings)
    await provider.forget(installation_id, uuid4())
    assert len(active_definitions(client, desired.origin.name)) == 1
    await provider.forget(installation_id, desired.origin.tenant_id)
    await provider.forget(installation_id, desired.origin.tenant_id)
    assert active_definitions(client, desired.origin.name) == []


async def test_services_are_found_in_every_cluster_by_who_knows_no_config(
    provider: EcsCompute, another: EcsCompute, installation_id: str, client: Any
) -> None:
    other = f"other-{uuid4().hex[:8]}"
    client.create_cluster(clusterName=other)
    desired = [desire(installation_id, web(cluster=cluster)) for cluster in (CLUSTER, other)]
    made = [await provider.apply(one, OPEN) for one in desired]
    assert sorted(found.id for found in await another.list_owned(installation_id)) == sorted(one.id for one in made)
    observed = await another.observe(desired[1].origin)
    assert observed is not None
    assert observed.id == made[1].id
    await another.destroy(made[1].id)
    client.delete_cluster(cluster=other)
    assert [found.id for found in await another.list_owned(installation_id)] == [made[0].id]
    assert await provider.observe(desired[1].origin) is None


async def test_a_create_whose_answer_is_lost_makes_one_service(
    provider: EcsCompute, installation_id: str, ecs: AwsFront, client: Any
) -> None:
    """ExecuteAndTimeout: the SDK sends the request again, with the token by which ECS knows it."""
    create, lost = ecs.rules["CreateService"], threading.Event()

    def lose_the_first(request: dict[str, Any], forward: Forward) -> Answer:
        answer = create(request, forward)
        if lost.is_set():
            return answer
        lost.set()
        return refusal("ServiceUnavailable", "lost on the way", 503)

    ecs.rules["CreateService"] = lose_the_first
    with pytest.raises(NotCurrent) as refused:
        await provider.apply(desire(installation_id, web()), Gate(True, False))
    (left,) = await provider.list_owned(installation_id)
    assert refused.value.made == left.id
    assert ecs.calls["CreateService"] == 2
    assert len(active_definitions(client, left.name)) == 1


async def test_a_stranger_under_the_name_is_a_conflict(provider: EcsCompute, installation_id: str, client: Any) -> None:
    desired = desire(installation_id, web())
    client.register_task_definition(family="stranger", **definition())
    client.create_service(cluster=CLUSTER, serviceName=desired.origin.name, taskDefinition="stranger", desiredCount=0)
    with pytest.raises(NameConflict, match="belongs to somebody else"):
        await provider.apply(desired, OPEN)
    client.delete_service(cluster=CLUSTER, service=desired.origin.name, force=True)
