"""What the tests of ecs ask for, and their own eyes in the account."""

from typing import Any

import boto3

from controlplane.ports import Resource
from providers.compute.ecs.policy import EcsPolicy
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import Gate
from tests.aws import REGION, AwsEmulator

OPEN = Gate(True)
CLUSTER = "landlord-tests"
ELSEWHERE = "210987654321"
LISTED = EcsPolicy(
    roles=("arn:aws:iam::*:role/tenants/landlord",), task_roles=("*",), task_definitions=("*",), targets=("*",)
)
"""What the tests' installation lets tenants name."""
ROLE = f"arn:aws:iam::{ELSEWHERE}:role/tenants/landlord"


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


def client_as(emulator: AwsEmulator, role: str) -> Any:
    sts = emulator.client("sts")
    given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    sts.close()
    return boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION
    ).client("ecs", endpoint_url=emulator.url)
