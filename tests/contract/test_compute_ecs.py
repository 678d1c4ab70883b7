"""The ecs provider against an emulated AWS, over HTTP.

The emulator lets a second service take a name that is in use; `ecs` stands before it with ECS's own rule.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from controlplane.errors import (
    EngineUnavailable,
    InvalidConfig,
    NameConflict,
    NotAvailableYet,
    NotCurrent,
    Retryable,
    Terminal,
    Throttled,
)
from controlplane.model import HealthSpec
from controlplane.ports import KeepsBelongings, Resource, ResourceState
from controlplane.probe import HealthProber
from controlplane.settings import load_settings
from providers.compute import ecs_aws
from providers.compute.ecs import EcsCompute
from providers.compute.secrets import Secrets
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, Gate, LoseAnswer, desire
from providers.conformance.compute_capabilities import Belongings, BelongingsConformance, NoExecProbesConformance
from providers.registry import enabled_compute
from tests.aws import ACCOUNT, REGION, Answer, AwsEmulator, AwsFront, Forward, refusal

OPEN = Gate(True)
CLUSTER = "landlord-tests"
PAGE = 40
"""Services on one page of a list: fewer than AWS gives, so that lists of tests have several."""
ELSEWHERE = "210987654321"
ROLE = f"arn:aws:iam::{ELSEWHERE}:role/tenants/landlord"


@pytest.fixture
def ecs(aws_environment: AwsEmulator) -> Iterator[AwsFront]:
    """The emulator with a cluster, and with what ECS does and it does not: names are taken, lists have pages."""
    with AwsFront(aws_environment) as front:
        own = aws_environment.client("ecs")
        own.create_cluster(clusterName=CLUSTER)
        creating = threading.Lock()
        answered: dict[str, Answer] = {}

        def create(request: dict[str, Any], forward: Forward) -> Answer:
            """A name is taken once; a request that is sent again, after its answer was lost, has the first answer."""
            with creating:
                if request["clientToken"] in answered:
                    return answered[request["clientToken"]]
                try:
                    # With tags: the emulator would else leave them out of what it answers others at that moment.
                    there = own.describe_services(
                        cluster=request["cluster"], services=[request["serviceName"]], include=["TAGS"]
                    )
                except ClientError:
                    return forward()
                if any(service["status"] != "INACTIVE" for service in there["services"]):
                    return refusal("InvalidParameterException", "Creation of service was not idempotent.")
                answered[request["clientToken"]] = forward()
                return answered[request["clientToken"]]

        def page(request: dict[str, Any], forward: Forward) -> Answer:
            status, answer = forward()
            first = int(request.get("nextToken", "0"))
            everything = answer["serviceArns"]
            answer["serviceArns"] = everything[first : first + PAGE]
            if len(everything) > first + PAGE:
                answer["nextToken"] = str(first + PAGE)
            return status, answer

        front.rules |= {"CreateService": create, "ListServices": page}
        yield front
        own.close()


@pytest.fixture
def client(aws_environment: AwsEmulator) -> Iterator[Any]:
    """The test's own eyes and hands in the account."""
    client = aws_environment.client("ecs")
    yield client
    client.close()


@pytest_asyncio.fixture
async def provider(ecs: AwsFront) -> AsyncIterator[EcsCompute]:
    provider = EcsCompute(endpoint_url=ecs.url)
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def another(ecs: AwsFront) -> AsyncIterator[EcsCompute]:
    provider = EcsCompute(endpoint_url=ecs.url)
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def owner(provider: EcsCompute, ecs: AwsFront) -> AsyncIterator[str]:
    owner = f"test-{uuid4()}"
    yield owner
    ecs.rules.clear()
    for resource in await provider.list_owned(owner):
        await provider.destroy(resource.id)
        await provider.forget(owner, resource.ownership.tenant_id)


def web(**changes: Any) -> dict[str, Any]:
    return {"cluster": CLUSTER, "task_definition": definition(), "desired_count": 2} | changes


def definition(**env: str) -> dict[str, Any]:
    environment = [{"name": name, "value": value} for name, value in ({"COLOR": "blue"} | env).items()]
    return {"containerDefinitions": [{"name": "web", "image": "web:1", "memory": 64, "environment": environment}]}


def active_definitions(client: Any, family: str) -> list[str]:
    found: list[str] = client.list_task_definitions(familyPrefix=family, status="ACTIVE")["taskDefinitionArns"]
    return found


async def inspected(provider: EcsCompute, resource: Resource) -> Resource:
    found = await provider.inspect(resource.id)
    assert found is not None
    return found


class TestEcsConforms(ComputeConformance, NoExecProbesConformance, BelongingsConformance):
    @pytest_asyncio.fixture
    async def owner(self, provider: EcsCompute) -> AsyncIterator[str]:
        """Without `forget` for each of many tenants, which all walk the account's definitions: see the tests below."""
        owner = f"test-{uuid4()}"
        yield owner
        left = await provider.list_owned(owner)
        await asyncio.gather(*(provider.destroy(resource.id) for resource in left))

    @pytest_asyncio.fixture
    async def elsewhere(self, ecs: AwsFront, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url)
        with monkeypatch.context() as during:
            during.setenv("AWS_DEFAULT_REGION", "us-east-1")
            # It makes its clients at their first call.
            await provider.identity()
            await provider.list_owned("test-nobody")
        yield provider
        await provider.close()

    @pytest.fixture
    def lose_answer(self, ecs: AwsFront) -> LoseAnswer:
        """ECS has done it, and fails to say so however often the SDK asks again."""

        def lose(effect: Effect) -> None:
            operation = {"create": "CreateService", "start": "UpdateService", "destroy": "DeleteService"}[effect]
            before = ecs.rules.get(operation, lambda request, forward: forward())
            asked = count(1)

            def done_in_vain(request: dict[str, Any], forward: Forward) -> Answer:
                if next(asked) == ecs_aws.ATTEMPTS:
                    ecs.rules[operation] = before
                before(request, forward)
                return refusal("ServiceUnavailable", "lost on the way", 503)

            ecs.rules[operation] = done_in_vain

        return lose

    @pytest.fixture
    def good_config(self) -> Mapping[str, Any]:
        return web()

    @pytest.fixture
    def changed_config(self) -> Mapping[str, Any]:
        return web(desired_count=3)

    @pytest.fixture
    def refused_config(self) -> Mapping[str, Any]:
        """A container without memory: ECS refuses the definition."""
        containers = [{"name": SECRET, "image": "web:1", "environment": [{"name": "TOKEN", "value": SECRET}]}]
        return web(task_definition={"containerDefinitions": containers})

    @pytest.fixture
    def refusal_code(self) -> object:
        return "ClientException"

    @pytest.fixture
    def keeping_config(self, aws_environment: AwsEmulator) -> Mapping[str, Any]:
        """By which role its service is reached is remembered beside it."""
        away = _client_as(aws_environment, ROLE)
        away.create_cluster(clusterName=CLUSTER)
        away.close()
        return web(assume_role_arn=ROLE)

    @pytest.fixture
    def belongings(self, aws_environment: AwsEmulator) -> Iterator[Belongings]:
        ssm = aws_environment.client("ssm")

        async def of(owner: str, tenant_id: UUID) -> Sequence[str]:
            found = ssm.get_parameters_by_path(Path=f"/landlord/{owner}/{tenant_id}")["Parameters"]
            return [parameter["Name"] for parameter in found]

        yield of
        ssm.close()

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return web(task_definition={"containerDefinitions": [{"name": "web", "memory": "64"}]})

    @pytest_asyncio.fixture
    async def provider(self, ecs: AwsFront) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, ecs: AwsFront) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url)
        yield provider
        await provider.close()


# --- what it makes ---


async def test_a_service_bears_our_tags_and_runs_what_was_asked_for(
    provider: EcsCompute, owner: str, client: Any
) -> None:
    resource = await provider.apply(desire(owner, web(launch_type="EC2")), OPEN)
    name = resource.ownership.name
    assert resource.id == f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/{name}"
    (service,) = client.describe_services(cluster=CLUSTER, services=[name], include=["TAGS"])["services"]
    assert (service["desiredCount"], service["launchType"], service["propagateTags"]) == (2, "EC2", "SERVICE")
    assert resource.ownership.labels().items() <= {tag["key"]: tag["value"] for tag in service["tags"]}.items()
    assert active_definitions(client, name) == [service["taskDefinition"]]
    described = client.describe_task_definition(taskDefinition=service["taskDefinition"], include=["TAGS"])
    assert {tag["key"]: tag["value"] for tag in described["tags"]} == resource.ownership.labels()
    prober = HealthProber()
    result = await prober.probe(await inspected(provider, resource), HealthSpec())
    await prober.close()
    assert (resource.endpoints, result.healthy) == ((), True)


async def test_no_task_runs_before_the_gate_was_asked_again(
    provider: EcsCompute, owner: str, client: Any, ecs: AwsFront
) -> None:
    with pytest.raises(NotCurrent) as refused:
        await provider.apply(desire(owner, web()), Gate(True, False))
    (service,) = client.describe_services(cluster=CLUSTER, services=[refused.value.made])["services"]
    assert service["desiredCount"] == 0
    assert ecs.calls.get("UpdateService", 0) == 0
    left = await provider.inspect(str(refused.value.made))
    assert left is not None
    assert (left.state, left.detail) == (ResourceState.STOPPED, "the service is scaled to no tasks")


async def test_its_own_definitions_go_with_it_and_those_of_others_stay(
    provider: EcsCompute, another: EcsCompute, owner: str, client: Any
) -> None:
    family = f"shared-{uuid4().hex[:8]}"
    shared = client.register_task_definition(family=family, **definition())["taskDefinition"]["taskDefinitionArn"]
    named = await provider.apply(desire(owner, web(task_definition=shared)), OPEN)
    desired = desire(owner, web())
    inline, _ = await asyncio.gather(provider.apply(desired, OPEN), another.apply(desired, OPEN))
    stranger = client.register_task_definition(family=inline.name, **definition())["taskDefinition"]
    await provider.destroy(named.id)
    await provider.destroy(inline.id)
    assert active_definitions(client, family) == [shared]
    assert active_definitions(client, inline.name) == [stranger["taskDefinitionArn"]]
    client.deregister_task_definition(taskDefinition=stranger["taskDefinitionArn"])


async def test_a_definition_whose_service_was_never_made_goes_with_the_tenant(
    provider: EcsCompute, owner: str, client: Any
) -> None:
    desired = desire(owner, web(cluster="no-such-cluster"))
    with pytest.raises(NotAvailableYet, match="no such ECS cluster") as refused:
        await provider.apply(desired, OPEN)
    assert refused.value.fields["code"] == "ClusterNotFoundException"
    assert len(active_definitions(client, desired.ownership.name)) == 1
    assert isinstance(provider, KeepsBelongings)
    await provider.forget(owner, uuid4())
    assert len(active_definitions(client, desired.ownership.name)) == 1
    await provider.forget(owner, desired.ownership.tenant_id)
    await provider.forget(owner, desired.ownership.tenant_id)
    assert active_definitions(client, desired.ownership.name) == []


async def test_services_are_found_in_every_cluster_by_who_knows_no_config(
    provider: EcsCompute, another: EcsCompute, owner: str, client: Any
) -> None:
    other = f"other-{uuid4().hex[:8]}"
    client.create_cluster(clusterName=other)
    desired = [desire(owner, web(cluster=cluster)) for cluster in (CLUSTER, other)]
    made = [await provider.apply(one, OPEN) for one in desired]
    assert sorted(found.id for found in await another.list_owned(owner)) == sorted(one.id for one in made)
    observed = await another.observe(desired[1].ownership)
    assert observed is not None
    assert observed.id == made[1].id
    await another.destroy(made[1].id)
    client.delete_cluster(cluster=other)
    assert [found.id for found in await another.list_owned(owner)] == [made[0].id]
    assert await provider.observe(desired[1].ownership) is None


async def test_a_create_whose_answer_is_lost_makes_one_service(
    provider: EcsCompute, owner: str, ecs: AwsFront, client: Any
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
        await provider.apply(desire(owner, web()), Gate(True, False))
    (left,) = await provider.list_owned(owner)
    assert refused.value.made == left.id
    assert ecs.calls["CreateService"] == 2
    assert len(active_definitions(client, left.name)) == 1


# --- what ECS says of it ---


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
        (rollout(running=1), ResourceState.RUNNING, "unhealthy", "1 of 2 tasks run"),
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
    provider: EcsCompute, owner: str, ecs: AwsFront, edit: Any, state: ResourceState, verdict: str, detail: str
) -> None:
    desired = desire(owner, web())
    await provider.apply(desired, OPEN)
    ecs.change("DescribeServices", edit)
    observed = await provider.observe(desired.ownership)
    assert observed is not None
    assert (observed.state, observed.platform_health, observed.detail) == (state, verdict, detail)
    (listed,) = await provider.list_owned(owner)
    assert (listed.state, listed.platform_health) == (state, verdict)


async def test_why_tasks_stopped_is_told_without_secrets(
    provider: EcsCompute, owner: str, ecs: AwsFront, client: Any
) -> None:
    resource = await provider.apply(desire(owner, web(task_definition=definition(TOKEN=SECRET))), OPEN)
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
    provider: EcsCompute, owner: str, ecs: AwsFront
) -> None:
    resource = await provider.apply(desire(owner, web()), OPEN)
    updates = ecs.calls["UpdateService"]
    await provider.start(resource.id)
    assert ecs.calls["UpdateService"] == updates
    ecs.change("DescribeServices", rollout(rolloutState="FAILED", running=0))
    await provider.start(resource.id)
    assert ecs.calls["UpdateService"] == updates + 1


# --- draining ---


async def test_a_name_that_is_still_draining_can_be_taken_later(
    provider: EcsCompute, owner: str, ecs: AwsFront
) -> None:
    """Nobody sees it before the create, which ECS then refuses."""
    desired = desire(owner, web())
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
async def test_a_service_is_not_gone_before_its_tasks_are(ecs: AwsFront, owner: str, client: Any, kind: str) -> None:
    impatient = EcsCompute(endpoint_url=ecs.url, drain_seconds=0)
    resource = await impatient.apply(desire(owner, web()), OPEN)

    def still_one(answer: dict[str, Any]) -> None:
        answer["service"][kind] = 1

    ecs.change("UpdateService", still_one)
    with pytest.raises(Retryable, match="still draining: 1 of its tasks run or are to run"):
        await impatient.destroy(resource.id)
    assert ecs.calls.get("DeleteService", 0) == 0
    (service,) = client.describe_services(cluster=CLUSTER, services=[resource.name])["services"]
    assert (service["status"], service["desiredCount"]) == ("ACTIVE", 0)
    await impatient.destroy(resource.id)
    assert await impatient.inspect(resource.id) is None
    assert active_definitions(client, resource.name) == []
    await impatient.close()


async def test_destroy_waits_for_tasks_and_for_the_service(provider: EcsCompute, owner: str, ecs: AwsFront) -> None:
    """It looks again until ECS says so: first its tasks end, then the service, which drains in between."""
    resource = await provider.apply(desire(owner, web()), OPEN)

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


# --- roles ---


async def test_a_role_leads_to_another_account_and_is_found_there_again(
    provider: EcsCompute, another: EcsCompute, owner: str, aws_environment: AwsEmulator
) -> None:
    away = _client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    desired = desire(owner, web(assume_role_arn=ROLE))
    made = await provider.apply(desired, OPEN)
    assert made.id == f"arn:aws:ecs:{REGION}:{ELSEWHERE}:service/{CLUSTER}/{made.name} as {ROLE}"
    (service,) = away.describe_services(cluster=CLUSTER, services=[made.name])["services"]
    assert service["desiredCount"] == 2
    assert [found.id for found in await another.list_owned(owner)] == [made.id]
    assert [found.id for found in await another.list_owned(owner, desired.ownership.tenant_id)] == [made.id]
    observed = await another.observe(desired.ownership)
    assert observed is not None
    assert observed.id == made.id
    await another.stop(made.id)
    assert (await inspected(another, made)).state is ResourceState.STOPPED
    await another.destroy(made.id)
    assert await provider.inspect(made.id) is None
    ssm = aws_environment.client("ssm")
    path = f"/landlord/{owner}/{desired.ownership.tenant_id}"
    assert [p["Value"] for p in ssm.get_parameters_by_path(Path=path)["Parameters"]] == [ROLE]
    await another.forget(owner, desired.ownership.tenant_id)
    assert ssm.get_parameters_by_path(Path=path)["Parameters"] == []
    assert active_definitions(away, made.name) == []
    ssm.close()
    away.close()


async def test_a_role_is_assumed_once_and_again_before_it_expires(
    provider: EcsCompute, owner: str, ecs: AwsFront, aws_environment: AwsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = _client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    resource = await provider.apply(desire(owner, web(assume_role_arn=ROLE)), OPEN)
    await provider.inspect(resource.id)
    assert ecs.calls["AssumeRole"] == 1
    monkeypatch.setattr(ecs_aws, "RENEW", timedelta(hours=13))
    renewing = EcsCompute(endpoint_url=ecs.url)
    for times in (2, 3):
        await renewing.inspect(resource.id)
        assert ecs.calls["AssumeRole"] == times
    await renewing.close()
    away.close()


def _client_as(emulator: AwsEmulator, role: str) -> Any:
    sts = emulator.client("sts")
    given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    sts.close()
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION
    ).client("ecs", endpoint_url=emulator.url)


async def test_no_credential_is_in_an_id_a_row_an_error_or_a_log(
    provider: EcsCompute,
    owner: str,
    ecs: AwsFront,
    aws_environment: AwsEmulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the installation's own nor those of a role, through a whole life with a refusal in it."""
    given: list[str] = []
    assume = ecs_aws.AwsClients._assume

    def noted(clients: ecs_aws.AwsClients, role: str) -> Any:
        identity = assume(clients, role)
        given.extend(identity.session.get_credentials().get_frozen_credentials()[:3])
        return identity

    monkeypatch.setattr(ecs_aws.AwsClients, "_assume", noted)
    away = _client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    away.close()
    desired = desire(owner, web(assume_role_arn=ROLE))
    with caplog.at_level(logging.INFO):
        made = await provider.apply(desired, OPEN)
        seen = [made, await provider.list_owned(owner), await provider.identity(), await provider.health()]
        ecs.refuse("UpdateService", "UnrecognizedClientException", f"The security token {given[2]} is invalid")
        with pytest.raises(NotAvailableYet) as refused:
            await provider.stop(made.id)
        del ecs.rules["UpdateService"]
        await provider.destroy(made.id)
        await provider.forget(owner, desired.ownership.tenant_id)
    told = repr((seen, str(refused.value), refused.value.fields, caplog.text))
    secrets = [*given, aws_environment.environment["AWS_SECRET_ACCESS_KEY"]]
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in told]


async def test_calls_are_few_bounded_and_slow_down_by_themselves(provider: EcsCompute, ecs: AwsFront) -> None:
    """The SDK's adaptive mode: a throttled call is sent again, three times at most, each later than the one before."""
    config = provider._clients.client("ecs").meta.config
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("adaptive", ecs_aws.ATTEMPTS)
    ecs.refuse("ListClusters", "ThrottlingException", "Rate exceeded")
    health = await provider.health()
    assert (health.healthy, ecs.calls["ListClusters"]) == (False, ecs_aws.ATTEMPTS)


# --- errors ---


@pytest.mark.parametrize(
    ("operation", "code", "message", "kind", "told"),
    [
        ("CreateService", "ThrottlingException", "Rate exceeded", Throttled, "asks for fewer calls"),
        ("CreateService", "AccessDeniedException", "not authorized", NotAvailableYet, "does not allow CreateService"),
        ("CreateService", "ClientException", "The task definition is inactive", NotAvailableYet, "cannot do this yet"),
        (
            "CreateService",
            "InvalidParameterException",
            "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
            NotAvailableYet,
            "service linked role",
        ),
        (
            "CreateService",
            "InvalidParameterException",
            "subnets can not be empty.",
            InvalidConfig,
            "subnets can not be",
        ),
        ("RegisterTaskDefinition", "LimitExceededException", "Too many", NotAvailableYet, "have it raised: Too many"),
        ("RegisterTaskDefinition", "ServerException", "oops", EngineUnavailable, "cannot answer now"),
        ("DescribeServices", "UnrecognizedClientException", f"token {SECRET}", NotAvailableYet, "renew them"),
        ("DescribeServices", "SomethingNew", "never heard of", Retryable, "refused DescribeServices: never heard of"),
    ],
)
async def test_refusals_are_typed_and_name_what_is_to_be_done(
    provider: EcsCompute,
    owner: str,
    ecs: AwsFront,
    operation: str,
    code: str,
    message: str,
    kind: type[Exception],
    told: str,
) -> None:
    ecs.refuse(operation, code, message, 500 if code == "ServerException" else 400)
    with pytest.raises(kind, match=told) as refused:
        await provider.apply(desire(owner, web()), OPEN)
    assert isinstance(refused.value, Retryable | Terminal)
    assert refused.value.fields["code"] == code
    assert SECRET not in str(refused.value)


async def test_a_refusal_that_quotes_the_environment_is_redacted(
    provider: EcsCompute, owner: str, ecs: AwsFront
) -> None:
    ecs.refuse("RegisterTaskDefinition", "ClientException", f"{SECRET} is too long")
    with pytest.raises(InvalidConfig, match=r"\*\*\* is too long"):
        await provider.apply(desire(owner, web(task_definition=definition(TOKEN=SECRET))), OPEN)


async def test_a_refusal_that_quotes_a_secret_by_reference_is_redacted_wherever_it_stands(
    ecs: AwsFront, owner: str, client: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    provider = EcsCompute(endpoint_url=ecs.url, secrets=Secrets(tmp_path))
    container = {"name": "web", "image": "web:1", "memory": 64, "command": ["serve", {"secret": "file:token"}]}
    desired = desire(owner, web(task_definition={"containerDefinitions": [container]}))
    ecs.refuse("CreateService", "InvalidParameterException", f"command serve {SECRET} is too long")
    with pytest.raises(InvalidConfig, match=r"command serve \*\*\* is too long") as refused:
        await provider.apply(desired, OPEN)
    assert SECRET not in repr(refused.value.fields)
    (registered,) = active_definitions(client, desired.ownership.name)
    described = client.describe_task_definition(taskDefinition=registered)["taskDefinition"]
    assert described["containerDefinitions"][0]["command"] == ["serve", SECRET], "the task has it"
    await provider.forget(owner, desired.ownership.tenant_id)
    await provider.close()


async def test_a_role_that_may_not_be_assumed_is_named(provider: EcsCompute, owner: str, ecs: AwsFront) -> None:
    denied = desire(owner, web(assume_role_arn=ROLE))

    ecs.refuse("AssumeRole", "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on {ROLE}", 403)
    with pytest.raises(NotAvailableYet, match=f"does not allow sts:AssumeRole.*{ROLE}"):
        await provider.apply(denied, OPEN)
    del ecs.rules["AssumeRole"]
    await provider.forget(owner, denied.ownership.tenant_id)


async def test_a_stranger_under_the_name_is_a_conflict(provider: EcsCompute, owner: str, client: Any) -> None:
    desired = desire(owner, web())
    client.register_task_definition(family="stranger", **definition())
    client.create_service(
        cluster=CLUSTER, serviceName=desired.ownership.name, taskDefinition="stranger", desiredCount=0
    )
    with pytest.raises(NameConflict, match="belongs to somebody else"):
        await provider.apply(desired, OPEN)
    client.delete_service(cluster=CLUSTER, service=desired.ownership.name, force=True)


async def test_nobody_answers(aws_environment: AwsEmulator) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        provider = EcsCompute(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(EngineUnavailable, match=r"AWS does not answer: .*http://127\.0\.0\.1"):
            await provider.identity()
        health = await provider.health()
        await provider.close()
    assert not health.healthy
    assert health.detail.startswith("AWS does not answer")


@pytest.mark.parametrize(
    ("missing", "told"), [("AWS_ACCESS_KEY_ID", "no AWS credentials"), ("AWS_DEFAULT_REGION", "AWS_DEFAULT_REGION")]
)
async def test_what_the_environment_lacks_is_named(
    aws_environment: AwsEmulator, monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    monkeypatch.delenv(missing)
    provider = EcsCompute(endpoint_url=aws_environment.url)
    with pytest.raises(NotAvailableYet, match=told):
        await provider.identity()
    assert told in (await provider.health()).detail
    await provider.close()


async def test_an_id_of_something_else_is_refused(provider: EcsCompute) -> None:
    with pytest.raises(Terminal, match="is not the id of an ECS service"):
        await provider.inspect("3f1c")


# --- where it is ---


async def test_its_engine_is_an_account_and_a_region(provider: EcsCompute) -> None:
    assert await provider.identity() == f"{ACCOUNT}/{REGION}"


async def test_the_setting_leads_to_the_emulator(aws_environment: AwsEmulator, tmp_path: Any) -> None:
    settings = load_settings(
        {
            "LANDLORD_HOME": str(tmp_path),
            "LANDLORD_COMPUTE_PROVIDERS": "ecs",
            "LANDLORD_AWS_ENDPOINT_URL": aws_environment.url,
        }
    )
    provider = enabled_compute(settings)["ecs"]
    assert (await provider.health()).healthy
    assert await provider.identity() == f"{ACCOUNT}/{REGION}"
    await provider.close()
