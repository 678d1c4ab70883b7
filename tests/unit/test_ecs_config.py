"""What an ecs config may say, and what ECS is told of it."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.errors import InvalidConfig, Terminal, Unsupported
from controlplane.model import HealthSpec
from providers.compute.ecs import surroundings
from providers.compute.ecs.config import EcsConfig, environment
from providers.compute.ecs.policy import EcsPolicy
from providers.compute.ecs.provider import EcsCompute
from providers.compute.ecs.service import DESIRED_TAG, Acting, Place, ServiceId, definition_request, service_request
from tests.unit.builders import OWNERSHIP as FIRST_RUN

SECRET = "hunter2-unit"
WEB: dict[str, Any] = {"containerDefinitions": [{"name": "web", "image": "web:1", "memory": 64}]}
ARN = "arn:aws:ecs:eu-central-1:123456789012"
ROLE = "arn:aws:iam::210987654321:role/tenants/landlord"
OWNERSHIP = replace(FIRST_RUN, run=2)


LISTED = EcsPolicy(roles=("*",), task_roles=("*",), task_definitions=("*",), targets=("*",))


def refusals(
    config: dict[str, Any], health: dict[str, Any] | None = None, policy: EcsPolicy = LISTED
) -> dict[str, str]:
    """loc → message; empty where it is accepted."""
    try:
        EcsCompute(policy=policy).validate(config, HealthSpec.model_validate(health or {}))
    except (InvalidConfig, Unsupported) as error:
        return {item["loc"]: item["message"] for item in error.errors}
    return {}


GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/acme/0123456789abcdef"
REGISTRY = "arn:aws:servicediscovery:eu-central-1:123456789012:service/srv-acme"
OPEN_WEB = {"containerDefinitions": [{**WEB["containerDefinitions"][0], "portMappings": [{"containerPort": 80}]}]}
SURROUNDED: dict[str, Any] = {
    "task_definition": OPEN_WEB,
    "capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 1}],
    "load_balancers": [{"targetGroupArn": GROUP, "containerName": "web", "containerPort": 80}],
    "service_registries": [{"registryArn": REGISTRY}],
    "service_connect": {"enabled": True, "namespace": "tenants"},
    "health_check_grace_period_seconds": 30,
}


def test_what_stands_around_a_service_goes_to_ecs_in_its_own_words() -> None:
    assert refusals(SURROUNDED) == {}
    request = service_request(EcsConfig.model_validate(SURROUNDED), OWNERSHIP, "web:1", "t")
    assert request["capacityProviderStrategy"] == SURROUNDED["capacity_provider_strategy"]
    assert request["loadBalancers"] == SURROUNDED["load_balancers"]
    assert request["serviceRegistries"] == SURROUNDED["service_registries"]
    assert request["serviceConnectConfiguration"] == SURROUNDED["service_connect"]
    assert request["healthCheckGracePeriodSeconds"] == 30
    plain = service_request(EcsConfig.model_validate({"task_definition": WEB}), OWNERSHIP, "web:1", "t")
    assert plain.keys() == request.keys() - set(surroundings.MEMBERS.values())


@pytest.mark.parametrize(
    ("changed", "loc", "message"),
    [
        (
            {"load_balancers": [{"loadBalancerName": "classic", "containerName": "web", "containerPort": 80}]},
            "load_balancers.0.loadBalancerName",
            "a classic load balancer cannot serve two versions",
        ),
        (
            {"load_balancers": [{**SURROUNDED["load_balancers"][0], "advancedConfiguration": {}}]},
            "load_balancers.0.advancedConfiguration",
            "blue/green rollouts are not available",
        ),
        (
            {"load_balancers": [{**SURROUNDED["load_balancers"][0], "containerPort": 81}]},
            "load_balancers.0.containerPort",
            "no portMappings of a container 'web' have the port 81",
        ),
        ({"load_balancers": [{"containerName": "web"}]}, "load_balancers.0.targetGroupArn", "Field required"),
        (
            {"service_registries": [{"registryArn": REGISTRY, "containerName": "db", "containerPort": 80}]},
            "service_registries.0.containerPort",
            "no portMappings of a container 'db'",
        ),
        (
            {"service_connect": {"enabled": True, "services": [{"portName": "web"}]}},
            "service_connect.services",
            "a namespace has each name once; use service_registries",
        ),
        ({"service_connect": {"namespace": "tenants"}}, "service_connect.enabled", "Field required"),
        ({"launch_type": "FARGATE"}, "launch_type", "leave this out with capacity_provider_strategy"),
        ({"load_balancers": []}, "health_check_grace_period_seconds", "is for load_balancers, which has none"),
        ({"capacity_provider_strategy": [{"weight": 1}]}, "capacity_provider_strategy.0.capacityProvider", "required"),
        ({"service_registries": [{"registryArn": 7}]}, "service_registries.0.registryArn", "must be a string"),
    ],
)
def test_what_cannot_stand_around_one_says_why(changed: dict[str, Any], loc: str, message: str) -> None:
    found = refusals(SURROUNDED | changed)
    assert message in found.get(loc, ""), found


def test_what_others_may_share_takes_a_setting() -> None:
    found = refusals(SURROUNDED, policy=replace(LISTED, targets=("arn:*:targetgroup/acme/*",)))
    assert found.keys() == {"service_registries.0.registryArn", "service_connect.namespace"}
    assert {message.partition("; ")[2] for message in found.values()} == {
        "LANDLORD_ECS_TARGETS lists what they may name"
    }


@pytest.mark.parametrize(
    "config",
    [
        {"task_definition": "web"},
        {"task_definition": f"{ARN}:task-definition/web:7", "cluster": f"{ARN}:cluster/tenants"},
        {"task_definition": WEB, "desired_count": 3, "launch_type": "EC2", "assume_role_arn": ROLE},
        {"task_definition": {**WEB, "family": "web", "tags": [{"key": "team", "value": "blue"}]}},
        {
            "task_definition": {
                **WEB,
                "cpu": "256",
                "memory": "512",
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
            },
            "launch_type": "FARGATE",
            "network_configuration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}},
        },
    ],
)
def test_what_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config, {"interval_seconds": 5}) == {}


@pytest.mark.parametrize(
    ("config", "loc", "message"),
    [
        ({}, "task_definition", "Field required"),
        ({"task_definition": {"secret": "file:x"}}, "task_definition", "secrets may stand inside it"),
        ({"task_definition": 7}, "task_definition", "must be the ARN of a task definition, or a definition"),
        ({"task_definition": {}}, "task_definition.containerDefinitions", "Field required"),
        (
            {"task_definition": {"containerDefinitions": [{"name": "web", "memory": "64"}]}},
            "task_definition.containerDefinitions.0.memory",
            "must be an integer",
        ),
        (
            {"task_definition": {"containerDefinitions": [{"environment": [{"name": "A", "value": True}]}]}},
            "task_definition.containerDefinitions.0.environment.0.value",
            "must be a string",
        ),
        ({"task_definition": {"containerDefinitions": {}}}, "task_definition.containerDefinitions", "must be a list"),
        (
            {"task_definition": {"containerDefinitions": [{"essential": 1}]}},
            "task_definition.containerDefinitions.0.essential",
            "must be true or false",
        ),
        (
            {"task_definition": {"containerDefinitions": [{"dockerLabels": {"a": 1}}]}},
            "task_definition.containerDefinitions.0.dockerLabels.a",
            "must be a string",
        ),
        ({"task_definition": {**WEB, "memoryMib": SECRET}}, "task_definition.memoryMib", "AWS knows no such field"),
        ({"task_definition": "web", "desired_count": 0}, "desired_count", "greater than or equal to 1"),
        ({"task_definition": "web", "launch_type": "LAMBDA"}, "launch_type", "FARGATE"),
        ({"task_definition": "web", "cluster": "a/b"}, "cluster", "pattern"),
        ({"task_definition": "web", "assume_role_arn": "landlord"}, "assume_role_arn", "pattern"),
        (
            {"task_definition": "web", "network_configuration": {"subnets": ["subnet-1"]}},
            "network_configuration.subnets",
            "AWS knows no such field",
        ),
        (
            {"task_definition": "web", "network_configuration": {"awsvpcConfiguration": {}}},
            "network_configuration.awsvpcConfiguration.subnets",
            "Field required",
        ),
    ],
)
def test_what_is_refused_and_where(config: dict[str, Any], loc: str, message: str) -> None:
    found = refusals(config)
    assert message in found.get(loc, f"nothing about {loc}: {found}")
    assert SECRET not in str(found)


def container(**more: Any) -> dict[str, Any]:
    return {"containerDefinitions": [{"name": "web", "image": "web:1", "memory": 64, **more}]}


REACHING: list[tuple[dict[str, Any], str]] = [
    ({**WEB, "networkMode": "host"}, "networkMode"),
    ({**WEB, "networkMode": {"secret": "env:LANDLORD_SECRET_X"}}, "networkMode"),
    ({**WEB, "pidMode": "host"}, "pidMode"),
    ({**WEB, "ipcMode": "host"}, "ipcMode"),
    ({**WEB, "volumes": [{"name": "root", "host": {"sourcePath": "/"}}]}, "volumes.0"),
    ({**WEB, "volumes": [{"name": "a"}, {"name": "b", "dockerVolumeConfiguration": {"driver": "local"}}]}, "volumes.1"),
    ({**WEB, "volumes": [{"name": "a", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}, "volumes.0"),
    (container(privileged=True), "containerDefinitions.0.privileged"),
    (
        container(linuxParameters={"devices": [{"hostPath": "/dev/sda"}]}),
        "containerDefinitions.0.linuxParameters.devices",
    ),
    (
        container(linuxParameters={"capabilities": {"add": ["SYS_ADMIN"]}}),
        "containerDefinitions.0.linuxParameters.capabilities.add",
    ),
    (container(dockerSecurityOptions=["apparmor:unconfined"]), "containerDefinitions.0.dockerSecurityOptions"),
    (container(credentialSpecs=["credentialspecdomainless:arn:x"]), "containerDefinitions.0.credentialSpecs"),
]


@pytest.mark.parametrize(("definition", "loc"), REACHING, ids=[loc for _, loc in REACHING])
def test_the_instance_is_out_of_reach_unless_a_setting_allows_it(definition: dict[str, Any], loc: str) -> None:
    config = {"task_definition": definition, "launch_type": "EC2"}
    found = refusals(config)
    assert list(found) == [f"task_definition.{loc}"]
    assert "LANDLORD_ECS_ALLOW_HOST_ACCESS" in found[f"task_definition.{loc}"]
    assert refusals(config, policy=EcsPolicy(allow_host_access=True)) == {}
    assert EcsCompute().host_access(config) == [f"task_definition.{loc}"], "and takes an admin"


@pytest.mark.parametrize(
    "definition",
    [
        {**WEB, "networkMode": "awsvpc", "pidMode": "task", "ipcMode": "none"},
        {**WEB, "volumes": [{"name": "scratch"}, {"name": "more", "host": {}}]},
        container(
            privileged=False,
            dockerSecurityOptions=["no-new-privileges"],
            linuxParameters={"capabilities": {"drop": ["ALL"]}, "initProcessEnabled": True},
        ),
    ],
)
def test_what_keeps_a_task_to_itself_takes_no_setting(definition: dict[str, Any]) -> None:
    assert refusals({"task_definition": definition}, policy=EcsPolicy()) == {}


@pytest.mark.parametrize("wrong", [7, "x", {"a": 1}, [7], [{"privileged": {}}], [{"dockerSecurityOptions": 5}]])
def test_a_malformed_definition_is_refused_and_nothing_worse(wrong: Any) -> None:
    for what in ("containerDefinitions", "volumes"):
        assert refusals({"task_definition": {**WEB, what: wrong}}, policy=EcsPolicy())


@pytest.mark.parametrize(
    ("config", "loc", "setting", "policy"),
    [
        (
            {"task_definition": "web:7"},
            "task_definition",
            "LANDLORD_ECS_TASK_DEFINITIONS",
            EcsPolicy(task_definitions=("web:*",)),
        ),
        (
            {"task_definition": f"{ARN}:task-definition/web:7"},
            "task_definition",
            "LANDLORD_ECS_TASK_DEFINITIONS",
            EcsPolicy(task_definitions=(f"{ARN}:task-definition/web:7",)),
        ),
        (
            {"task_definition": {**WEB, "taskRoleArn": "arn:aws:iam::123456789012:role/admin"}},
            "task_definition.taskRoleArn",
            "LANDLORD_ECS_TASK_ROLES",
            EcsPolicy(task_roles=("arn:aws:iam::123456789012:role/adm*",)),
        ),
        (
            {"task_definition": {**WEB, "executionRoleArn": "admin"}},
            "task_definition.executionRoleArn",
            "LANDLORD_ECS_TASK_ROLES",
            EcsPolicy(task_roles=("tenant", "admin")),
        ),
        (
            {"task_definition": WEB, "assume_role_arn": ROLE},
            "assume_role_arn",
            "LANDLORD_ECS_ROLES",
            EcsPolicy(roles=("arn:aws:iam::*:role/tenants/landlord",)),
        ),
    ],
)
def test_roles_and_definitions_are_those_of_a_list(
    config: dict[str, Any], loc: str, setting: str, policy: EcsPolicy
) -> None:
    for shut in (EcsPolicy(), EcsPolicy(allow_host_access=True), EcsPolicy(roles=("?",), task_roles=("[a-z]*",))):
        found = refusals(config, policy=shut)
        assert list(found) == [loc]
        assert setting in found[loc]
    assert refusals(config, policy=policy) == {}


def test_a_reference_is_no_role_of_a_list() -> None:
    config = {"task_definition": {**WEB, "taskRoleArn": {"secret": "env:LANDLORD_SECRET_ROLE"}}}
    assert list(refusals(config)) == ["task_definition.taskRoleArn"]


@pytest.mark.parametrize("probe", ["http", "tcp"])
def test_there_is_no_address_to_probe(probe: str) -> None:
    found = refusals({"task_definition": "web"}, {probe: {"port": 80}})
    assert list(found) == [f"health.{probe}"]
    assert "no address" in found[f"health.{probe}"]


def test_what_ecs_cannot_do_is_told_apart_from_what_is_wrong() -> None:
    probed = HealthSpec.model_validate({"tcp": {}})
    with pytest.raises(Unsupported) as unsupported:
        EcsCompute(policy=LISTED).validate({"task_definition": WEB}, probed)
    assert [item["loc"] for item in unsupported.value.errors] == ["health.tcp"]
    with pytest.raises(InvalidConfig) as invalid:
        EcsCompute(policy=LISTED).validate({"task_definition": {"containerDefinitions": [{"memory": "64"}]}}, probed)
    assert [item["loc"] for item in invalid.value.errors] == [
        "task_definition.containerDefinitions.0.memory",
        "health.tcp",
    ]


def test_the_schema_offers_both_kinds_of_definition() -> None:
    schema = EcsConfig.model_json_schema()
    assert {kind["type"] for kind in schema["properties"]["task_definition"]["anyOf"]} == {"string", "object"}
    assert schema["required"] == ["task_definition"]


def test_a_definition_is_registered_under_the_services_name_with_our_tags() -> None:
    given = {**WEB, "family": "web", "tags": [{"key": "team", "value": "blue"}, {"key": "landlord.run", "value": "9"}]}
    request = definition_request(given, OWNERSHIP)
    assert request["family"] == OWNERSHIP.name == "landlord-acme-abcdef12-g3-r2"
    assert {tag["key"]: tag["value"] for tag in request["tags"]} == {"team": "blue", **OWNERSHIP.labels()}
    assert len(request["tags"]) == 8
    assert request["containerDefinitions"] == WEB["containerDefinitions"]


def test_a_service_is_made_without_tasks_and_under_the_circuit_breaker() -> None:
    config = EcsConfig(task_definition="web", desired_count=4)
    request = service_request(config, OWNERSHIP, "web:7", "token")
    assert (request["serviceName"], request["taskDefinition"]) == (OWNERSHIP.name, "web:7")
    assert (request["desiredCount"], request["clientToken"], request["cluster"]) == (0, "token", "default")
    assert request["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": False}
    assert {"key": DESIRED_TAG, "value": "4"} in request["tags"]
    assert not request.keys() & {"launchType", "networkConfiguration"}
    placed = EcsConfig(
        task_definition="web",
        launch_type="FARGATE",
        network_configuration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    )
    request = service_request(placed, OWNERSHIP, "web:7", "token")
    assert request["launchType"] == "FARGATE"
    assert request["networkConfiguration"] == placed.network_configuration


def test_the_environment_of_all_containers_is_secret() -> None:
    pair = {"name": "TOKEN", "value": SECRET}
    assert environment({"containerDefinitions": [{"environment": [pair]}, {"environment": None}, {}]}) == [SECRET]
    assert environment({"containerDefinitions": "nonsense"}) == []


def on_instances(port: dict[str, Any], network: str | None = None, **config: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "web:1", "memory": 64, "portMappings": [port]}
    definition: dict[str, Any] = {"containerDefinitions": [container]}
    if network is not None:
        definition["networkMode"] = network
    return {"task_definition": definition, "launch_type": "EC2", **config}


FIXED = {"containerPort": 80, "hostPort": 8080}


@pytest.mark.parametrize(
    ("before", "after", "exclusive"),
    [
        (on_instances(FIXED), on_instances(FIXED), True),
        (on_instances(FIXED, launch_type=None), on_instances(FIXED), True),
        (on_instances(FIXED), on_instances({"containerPort": 81, "hostPort": 8080}, "bridge"), True),
        (on_instances({"containerPort": 8080}, "host"), on_instances(FIXED), True),
        (on_instances(FIXED, cluster="tenants"), on_instances(FIXED, cluster=f"{ARN}:cluster/tenants"), True),
        (on_instances(FIXED), on_instances({"containerPort": 80, "hostPort": 8081}), False),
        (on_instances(FIXED), on_instances({**FIXED, "protocol": "udp"}), False),
        (on_instances({"containerPort": 80}), on_instances({"containerPort": 80, "hostPort": 0}), False),
        (on_instances(FIXED, "awsvpc"), on_instances(FIXED, "awsvpc"), False),
        (on_instances(FIXED), on_instances(FIXED, cluster="other"), False),
        (on_instances(FIXED), on_instances(FIXED, assume_role_arn=ROLE), False),
        (on_instances(FIXED), {"task_definition": "web:7"}, False),
        (on_instances(FIXED), {"task_definition": WEB}, False),
        ({"of": "another release"}, on_instances(FIXED), True),
    ],
)
def test_two_that_want_one_port_of_an_instance_do_not_run_side_by_side(
    before: dict[str, Any], after: dict[str, Any], exclusive: bool
) -> None:
    assert EcsCompute().exclusive(before, after) is exclusive


def test_an_id_says_how_the_service_is_reached() -> None:
    acting = Acting(ROLE, f"test/{OWNERSHIP.tenant_id}")
    own, through_role = ServiceId(f"{ARN}:service/tenants/web"), ServiceId(f"{ARN}:service/tenants/web", acting)
    for service_id in (own, through_role, ServiceId(through_role.arn, Acting(ROLE))):
        assert ServiceId.parse(str(service_id)) == service_id
        assert service_id.name == "web"
    assert own.place == Place("tenants")
    assert through_role.place == Place("tenants", acting)
    assert str(through_role) == f"{through_role.arn} as {ROLE} for test/{OWNERSHIP.tenant_id}"
    assumed = acting.assumed
    assert (assumed.external_id, assumed.session_name) == (acting.tenant, f"landlord-{OWNERSHIP.tenant_id}")
    assert len(assumed.session_name) <= 64, "AWS takes no longer one"
    with pytest.raises(Terminal, match="not the id of an ECS service"):
        ServiceId.parse(f"{ARN}:cluster/tenants")
