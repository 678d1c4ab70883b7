"""The ecs provider as its tests have it: at an emulated AWS, over HTTP.

The emulator lets a second service take a name that is in use; `ecs` stands before it with ECS's own rule.
"""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from providers.compute.ecs.provider import EcsCompute
from tests.aws import Answer, AwsEmulator, AwsFront, Forward, refusal
from tests.contract.ecs.bench import CLUSTER, LISTED

PAGE = 40
"""Services on one page of a list: fewer than AWS gives, so that lists of tests have several."""


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
    provider = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def another(ecs: AwsFront) -> AsyncIterator[EcsCompute]:
    provider = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def installation_id(provider: EcsCompute, ecs: AwsFront) -> AsyncIterator[str]:
    installation_id = f"test-{uuid4()}"
    yield installation_id
    ecs.rules.clear()
    for resource in await provider.list_owned(installation_id):
        await provider.destroy(resource.id)
        await provider.forget(installation_id, resource.origin.tenant_id)
