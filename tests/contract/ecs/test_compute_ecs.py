"""The ecs provider against the compute contract, and which engine it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from controlplane.errors import Terminal
from controlplane.settings import load_settings
from providers.aws.clients import ATTEMPTS
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, LoseAnswer
from providers.conformance.compute_capabilities import Belongings, BelongingsConformance, NoExecProbesConformance
from providers.registry import enabled_compute
from tests.aws import ACCOUNT, REGION, Answer, AwsEmulator, AwsFront, Forward, refusal
from tests.contract.ecs.bench import CLUSTER, LISTED, ROLE, client_as, web


class TestEcsConforms(ComputeConformance, NoExecProbesConformance, BelongingsConformance):
    @pytest_asyncio.fixture
    async def installation_id(self, provider: EcsCompute) -> AsyncIterator[str]:
        """Without `forget` for each of many tenants, which all walk the account's definitions: see the tests below."""
        installation_id = f"test-{uuid4()}"
        yield installation_id
        left = await provider.list_owned(installation_id)
        await asyncio.gather(*(provider.destroy(resource.id) for resource in left))

    @pytest_asyncio.fixture
    async def elsewhere(self, ecs: AwsFront, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
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
                if next(asked) == ATTEMPTS:
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
        away = client_as(aws_environment, ROLE)
        away.create_cluster(clusterName=CLUSTER)
        away.close()
        return web(assume_role_arn=ROLE)

    @pytest.fixture
    def belongings(self, aws_environment: AwsEmulator) -> Iterator[Belongings]:
        ssm = aws_environment.client("ssm")

        async def of(installation_id: str, tenant_id: UUID) -> Sequence[str]:
            found = ssm.get_parameters_by_path(Path=f"/landlord/{installation_id}/{tenant_id}")["Parameters"]
            return [parameter["Name"] for parameter in found]

        yield of
        ssm.close()

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return web(task_definition={"containerDefinitions": [{"name": "web", "memory": "64"}]})

    @pytest_asyncio.fixture
    async def provider(self, ecs: AwsFront) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, ecs: AwsFront) -> AsyncIterator[EcsCompute]:
        provider = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
        yield provider
        await provider.close()


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


async def test_an_id_of_something_else_is_refused(provider: EcsCompute) -> None:
    with pytest.raises(Terminal, match="is not the id of an ECS service"):
        await provider.inspect("3f1c")
