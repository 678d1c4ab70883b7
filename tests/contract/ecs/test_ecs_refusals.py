"""AWS's refusals and silence as errors that say what to do and show no secret."""

import socket
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import InvalidConfig, NotAvailableYet, Retryable, Terminal, Throttled, Unavailable
from providers.aws import clients
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.secrets import Secrets
from tests.aws import AwsEmulator, AwsFront
from tests.contract.ecs.bench import OPEN, active_definitions, definition, web


async def test_calls_are_few_bounded_and_slow_down_by_themselves(provider: EcsCompute, ecs: AwsFront) -> None:
    """The SDK's adaptive mode: a throttled call is sent again, three times at most, each later than the one before."""
    config = provider._clients.client("ecs").meta.config
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("adaptive", clients.ATTEMPTS)
    ecs.refuse("ListClusters", "ThrottlingException", "Rate exceeded")
    health = await provider.health()
    assert (health.healthy, ecs.calls["ListClusters"]) == (False, clients.ATTEMPTS)


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
        ("RegisterTaskDefinition", "ServerException", "oops", Unavailable, "cannot answer now"),
        ("DescribeServices", "UnrecognizedClientException", f"token {SECRET}", NotAvailableYet, "renew them"),
        ("DescribeServices", "SomethingNew", "never heard of", Retryable, "refused DescribeServices: never heard of"),
    ],
)
async def test_refusals_are_typed_and_name_what_is_to_be_done(
    provider: EcsCompute,
    installation_id: str,
    ecs: AwsFront,
    operation: str,
    code: str,
    message: str,
    kind: type[Exception],
    told: str,
) -> None:
    ecs.refuse(operation, code, message, 500 if code == "ServerException" else 400)
    with pytest.raises(kind, match=told) as refused:
        await provider.apply(desire(installation_id, web()), OPEN)
    assert isinstance(refused.value, Retryable | Terminal)
    assert refused.value.fields["code"] == code
    assert SECRET not in str(refused.value)


async def test_a_refusal_that_quotes_the_environment_is_redacted(
    provider: EcsCompute, installation_id: str, ecs: AwsFront
) -> None:
    ecs.refuse("RegisterTaskDefinition", "ClientException", f"{SECRET} is too long")
    with pytest.raises(InvalidConfig, match=r"\*\*\* is too long"):
        await provider.apply(desire(installation_id, web(task_definition=definition(TOKEN=SECRET))), OPEN)


async def test_a_refusal_that_quotes_a_secret_by_reference_is_redacted_wherever_it_stands(
    ecs: AwsFront, installation_id: str, client: Any, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "token").write_text(f"{SECRET}\n")
    provider = EcsCompute(endpoint_url=ecs.url, secrets=Secrets(tmp_path))
    container = {"name": "web", "image": "web:1", "memory": 64, "command": ["serve", {"secret": "file:token"}]}
    desired = desire(installation_id, web(task_definition={"containerDefinitions": [container]}))
    ecs.refuse("CreateService", "InvalidParameterException", f"command serve {SECRET} is too long")
    with pytest.raises(InvalidConfig, match=r"command serve \*\*\* is too long") as refused:
        await provider.apply(desired, OPEN)
    assert SECRET not in repr(refused.value.fields)
    (registered,) = active_definitions(client, desired.origin.name)
    described = client.describe_task_definition(taskDefinition=registered)["taskDefinition"]
    assert described["containerDefinitions"][0]["command"] == ["serve", SECRET], "the task has it"
    await provider.forget(installation_id, desired.origin.tenant_id)
    await provider.close()


async def test_nobody_answers(aws_environment: AwsEmulator) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        provider = EcsCompute(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"AWS does not answer: .*http://127\.0\.0\.1"):
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
