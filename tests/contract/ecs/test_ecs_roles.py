"""Roles that lead to other accounts, and credentials that stay in the SDK."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.errors import NotAvailableYet
from controlplane.ports import ResourceState
from providers.aws import clients
from providers.aws.clients import AssumedRole, AwsClients, speaking
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import desire
from tests.aws import REGION, Answer, AwsEmulator, AwsFront, Forward, refusal
from tests.contract.ecs.bench import (
    CLUSTER,
    ELSEWHERE,
    LISTED,
    OPEN,
    ROLE,
    active_definitions,
    client_as,
    inspected,
    web,
)


async def test_a_role_leads_to_another_account_and_is_found_there_again(
    provider: EcsCompute, another: EcsCompute, installation_id: str, aws_environment: AwsEmulator
) -> None:
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    desired = desire(installation_id, web(assume_role_arn=ROLE))
    made = await provider.apply(desired, OPEN)
    tenant = f"{installation_id}/{desired.origin.tenant_id}"
    assert made.id == f"arn:aws:ecs:{REGION}:{ELSEWHERE}:service/{CLUSTER}/{made.name} as {ROLE} for {tenant}"
    (service,) = away.describe_services(cluster=CLUSTER, services=[made.name])["services"]
    assert service["desiredCount"] == 2
    assert [found.id for found in await another.list_owned(installation_id)] == [made.id]
    assert [found.id for found in await another.list_owned(installation_id, desired.origin.tenant_id)] == [made.id]
    observed = await another.observe(desired.origin)
    assert observed is not None
    assert observed.id == made.id
    await another.stop(made.id)
    assert (await inspected(another, made)).state is ResourceState.STOPPED
    await another.destroy(made.id)
    assert await provider.inspect(made.id) is None
    ssm = aws_environment.client("ssm")
    path = f"/landlord/{installation_id}/{desired.origin.tenant_id}"
    assert [p["Value"] for p in ssm.get_parameters_by_path(Path=path)["Parameters"]] == [ROLE]
    await another.forget(installation_id, desired.origin.tenant_id)
    assert ssm.get_parameters_by_path(Path=path)["Parameters"] == []
    assert active_definitions(away, made.name) == []
    ssm.close()
    away.close()


async def test_a_role_is_assumed_once_and_again_before_it_expires(
    provider: EcsCompute,
    installation_id: str,
    ecs: AwsFront,
    aws_environment: AwsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    resource = await provider.apply(desire(installation_id, web(assume_role_arn=ROLE)), OPEN)
    await provider.inspect(resource.id)
    assert ecs.calls["AssumeRole"] == 1
    # As short as AWS allows, which is when the SDK begins to renew.
    monkeypatch.setattr(clients, "LIFETIME_SECONDS", 900)
    renewing = EcsCompute(endpoint_url=ecs.url, policy=LISTED)
    for times in (2, 3):
        await renewing.inspect(resource.id)
        assert ecs.calls["AssumeRole"] == times
    await renewing.close()
    away.close()


async def test_a_role_that_may_not_be_assumed_is_named(
    provider: EcsCompute, installation_id: str, ecs: AwsFront
) -> None:
    denied = desire(installation_id, web(assume_role_arn=ROLE))

    ecs.refuse("AssumeRole", "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on {ROLE}", 403)
    with pytest.raises(NotAvailableYet, match=f"does not allow sts:AssumeRole.*{ROLE}"):
        await provider.apply(denied, OPEN)
    del ecs.rules["AssumeRole"]
    await provider.forget(installation_id, denied.origin.tenant_id)


def test_a_role_is_asked_for_by_the_session_name_and_the_external_id_that_it_was_given(ecs: AwsFront) -> None:
    asked: list[dict[str, Any]] = []

    def note(request: dict[str, Any], forward: Forward) -> Answer:
        asked.append(request)
        return refusal("AccessDenied", "not you", 403)

    ecs.rules["AssumeRole"] = note
    clients = AwsClients(endpoint_url=ecs.url, connections=1)
    role = AssumedRole(ROLE, session_name="acme", external_id="installation-1")
    with pytest.raises(NotAvailableYet, match="does not allow sts:AssumeRole"), speaking():
        clients.client("ecs", role).list_clusters()
    clients.close()
    named = {name: asked[0][name] for name in ("RoleArn", "RoleSessionName", "ExternalId")}
    assert named == {"RoleArn": ROLE, "RoleSessionName": "acme", "ExternalId": "installation-1"}


async def test_no_credential_is_in_an_id_a_row_an_error_or_a_log(
    provider: EcsCompute,
    installation_id: str,
    ecs: AwsFront,
    aws_environment: AwsEmulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the installation's own nor those of a role, through a whole life with a refusal in it."""
    given: list[str] = []
    assume = AwsClients._assume

    def noted(clients: AwsClients, role: AssumedRole) -> Mapping[str, str]:
        credentials = assume(clients, role)
        given.extend(credentials[part] for part in ("access_key", "secret_key", "token"))
        return credentials

    monkeypatch.setattr(AwsClients, "_assume", noted)
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    away.close()
    desired = desire(installation_id, web(assume_role_arn=ROLE))
    with caplog.at_level(logging.INFO):
        made = await provider.apply(desired, OPEN)
        seen = [made, await provider.list_owned(installation_id), await provider.identity(), await provider.health()]
        ecs.refuse("UpdateService", "UnrecognizedClientException", f"The security token {given[2]} is invalid")
        with pytest.raises(NotAvailableYet) as refused:
            await provider.stop(made.id)
        del ecs.rules["UpdateService"]
        await provider.destroy(made.id)
        await provider.forget(installation_id, desired.origin.tenant_id)
    told = repr((seen, str(refused.value), refused.value.fields, caplog.text))
    secrets = [*given, aws_environment.environment["AWS_SECRET_ACCESS_KEY"]]
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in told]


async def test_each_tenant_has_its_role_assumed_under_its_own_id_and_name(
    provider: EcsCompute,
    another: EcsCompute,
    installation_id: str,
    ecs: AwsFront,
    aws_environment: AwsEmulator,
) -> None:
    """Two tenants name one role. A trust policy that demands the first one's external id is closed to the second."""
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    away.close()
    first, second = (desire(installation_id, web(assume_role_arn=ROLE)) for _ in range(2))
    trusted = f"{installation_id}/{first.origin.tenant_id}"
    asked: list[dict[str, Any]] = []

    def trust(request: dict[str, Any], forward: Forward) -> Answer:
        asked.append(request)
        return forward() if request.get("ExternalId") == trusted else refusal("AccessDenied", "not you", 403)

    ecs.rules["AssumeRole"] = trust
    made = await provider.apply(first, OPEN)
    needed = f"must accept the external id {installation_id}/{second.origin.tenant_id}"
    with pytest.raises(NotAvailableYet, match=f"does not allow sts:AssumeRole.*{needed}"):
        await provider.apply(second, OPEN)
    assert asked[0]["RoleSessionName"] == f"landlord-{first.origin.tenant_id}"
    tags = {asked[0][f"Tags.member.{n}.Key"]: asked[0][f"Tags.member.{n}.Value"] for n in (1, 2)}
    assert tags == {"landlord.owner": installation_id, "landlord.tenant-id": str(first.origin.tenant_id)}
    assert asked[-1]["RoleSessionName"] == f"landlord-{second.origin.tenant_id}"
    # Another process knows nothing but the id.
    await another.stop(made.id)
    await another.destroy(made.id)
    del ecs.rules["AssumeRole"]
    for desired in (first, second):
        await provider.forget(installation_id, desired.origin.tenant_id)


async def test_a_role_that_allows_no_session_tags_is_assumed_without(
    provider: EcsCompute, installation_id: str, ecs: AwsFront, aws_environment: AwsEmulator
) -> None:
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    away.close()

    def untagged(request: dict[str, Any], forward: Forward) -> Answer:
        if any(name.startswith("Tags.") for name in request):
            return refusal("AccessDenied", "not authorized to perform: sts:TagSession", 403)
        return forward()

    ecs.rules["AssumeRole"] = untagged
    desired = desire(installation_id, web(assume_role_arn=ROLE))
    made = await provider.apply(desired, OPEN)
    assert ecs.calls["AssumeRole"] == 2
    await provider.destroy(made.id)
    await provider.forget(installation_id, desired.origin.tenant_id)


async def test_a_service_of_an_earlier_release_keeps_its_id_and_is_reached_as_it_was(
    provider: EcsCompute,
    another: EcsCompute,
    installation_id: str,
    aws_environment: AwsEmulator,
) -> None:
    away = client_as(aws_environment, ROLE)
    away.create_cluster(clusterName=CLUSTER)
    desired = desire(installation_id, web(assume_role_arn=ROLE))
    made = await provider.apply(desired, OPEN)
    arn = made.id.partition(" as ")[0]
    away.untag_resource(resourceArn=arn, tagKeys=["landlord.assumed-for"])
    old = f"{arn} as {ROLE}"
    assert [found.id for found in await another.list_owned(installation_id)] == [old]
    observed = await another.observe(desired.origin)
    assert observed is not None
    assert observed.id == old
    await another.stop(old)
    await another.destroy(old)
    assert await provider.list_owned(installation_id) == []
    await provider.forget(installation_id, desired.origin.tenant_id)
    away.close()


def test_the_clients_of_roles_do_not_pile_up(ecs: AwsFront) -> None:
    made = AwsClients(endpoint_url=ecs.url, connections=1)
    roles = [AssumedRole(ROLE, external_id=str(number)) for number in range(clients.CLIENTS + 5)]
    first = made.client("ecs", roles[0])
    for role in roles[1:-5]:
        made.client("ecs", role)
    assert made.client("ecs", roles[0]) is first
    for role in roles[-5:]:
        made.client("ecs", role)
    assert made.client("ecs", roles[0]) is first, "it was used a moment ago"
    assert len(made._clients) == len(made._sessions) - 1 == clients.CLIENTS
    made.close()
