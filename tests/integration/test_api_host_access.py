"""No operator gets at this machine: with every setting in its default nobody may ask for it, and where a setting allows
it, only admins may, in a new tenant and in each change of one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.settings import Settings
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.compute.ecs.policy import EcsPolicy
from providers.compute.ecs.provider import EcsCompute
from tests.integration.api_replica import api_on, tenant

OPENING: Mapping[str, object] = {
    "process_role": "admin",
    "process_unsafe": False,
    "docker_allow_host_access": False,
    "docker_networks": (),
    "docker_publish": ("127.0.0.1",),
    "ecs_allow_host_access": False,
    "ecs_roles": (),
    "ecs_task_roles": (),
    "ecs_task_definitions": (),
    "ecs_targets": (),
}
"""Settings by which a tenant may come to see more of this machine, with the default that shuts it."""
HARMLESS = {"docker_address", "docker_registries", "docker_subnets", "process_uids"}
"""Settings of these providers that open nothing, whatever their value."""
ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    ("docker", {"image": "web:1", "volumes": ["/:/host"]}),
    ("docker", {"image": "web:1", "volumes": [{"source": "/var/lib/landlord", "target": "/x", "read_only": True}]}),
    ("docker", {"image": "web:1", "volumes": ["../up:/x"]}),
    ("docker", {"image": "web:1", "volumes": [{"source": "a", "target": "/x", "driver_opts": {"device": "/"}}]}),
    ("docker", {"image": "web:1", "privileged": True}),
    ("docker", {"image": "web:1", "network": "host"}),
    ("docker", {"image": "web:1", "network": "bridge"}),
    ("docker", {"image": "web:1", "network": "container:postgres"}),
    ("docker", {"image": "web:1", "network": "landlord-other-12345678"}),
    ("docker", {"image": "web:1", "pid": "host"}),
    ("docker", {"image": "web:1", "devices": ["/dev/sda"]}),
    ("docker", {"image": "web:1", "cap_add": ["SYS_ADMIN"]}),
    ("docker", {"image": "web:1", "security_opt": ["apparmor=unconfined"]}),
    ("docker", {"image": "web:1", "ports": [{"container_port": 80, "host_ip": "0.0.0.0"}]}),
    ("docker", {"image": "web:1", "log_driver": "syslog", "log_options": {"syslog-address": "unix:///run/x.sock"}}),
    ("docker", {"image": "web:1", "ulimits": {"rtprio": 99}}),
    ("docker", {"image": "web:1", "gpus": "all"}),
    ("docker", {"image": "web:1", "labels": {"landlord.owner": "me"}}),
    ("docker", {"image": "ab" * 32}),
    ("process", {"command": ["cat", "/var/lib/landlord/token"]}),
    ("ecs", {"task_definition": {"containerDefinitions": [{"privileged": True}]}}),
    ("ecs", {"task_definition": {"containerDefinitions": [], "volumes": [{"host": {"sourcePath": "/"}}]}}),
    ("ecs", {"task_definition": {"containerDefinitions": [], "taskRoleArn": "arn:aws:iam::123456789012:role/admin"}}),
    ("ecs", {"task_definition": "admin:1"}),
    (
        "ecs",
        {"task_definition": {"containerDefinitions": []}, "assume_role_arn": "arn:aws:iam::123456789012:role/admin"},
    ),
]


@pytest.mark.parametrize(("provider", "config"), ATTEMPTS)
async def test_by_default_no_operator_may_ask_for_this_machine(
    database_url: str, tmp_path: Path, provider: str, config: dict[str, Any]
) -> None:
    docker, ecs = DockerCompute.build(Settings(home=tmp_path)), EcsCompute.build(Settings(home=tmp_path))
    async with api_on(database_url, more={"docker": docker, "ecs": ecs}) as api:
        spec = {"compute": {"provider": provider, "config": config}}
        headers = await api.bearer("operator")
        refused = await api.client.post("/v1/tenants", json=tenant(spec=spec), headers=headers)
        assert refused.status_code in (400, 403), refused.text
        harmless = {"compute": {"provider": "docker", "config": {"image": "web:1"}}}
        made = await api.client.post("/v1/tenants", json=tenant(spec=harmless), headers=headers)
        assert made.status_code == 202, made.text
        patch = {"spec": {"compute": {"provider": provider, "config": {"image": None, **config}}}}
        refused = await api.client.patch("/v1/tenants/acme", json=patch, headers=headers)
        assert refused.status_code in (400, 403), refused.text
    await docker.close()
    await ecs.close()


def test_each_setting_of_the_providers_of_this_machine_is_shut_in_its_default(tmp_path: Path) -> None:
    names = {name for name in Settings.model_fields if name.startswith(("docker_", "process_", "ecs_"))}
    assert names == OPENING.keys() | HARMLESS, "a new one: say here whether it opens anything"
    settings = Settings(home=tmp_path)
    assert {name: getattr(settings, name) for name in OPENING} == OPENING


@pytest.mark.parametrize(
    "reaching",
    [{"privileged": True}, {"network": "host"}, {"volumes": ["/srv/acme:/data"]}, {"gpus": 1}],
    ids=str,
)
async def test_access_to_the_host_takes_an_admin_in_each_change(database_url: str, reaching: dict[str, Any]) -> None:
    docker = DockerCompute(policy=DockerPolicy(allow_host_access=True))
    async with api_on(database_url, more={"docker": docker}) as api:
        operator = await api.bearer("operator")

        def spec(**config: Any) -> dict[str, Any]:
            return {"spec": {"compute": {"provider": "docker", "config": {"image": "web:1", **config}}}}

        body = tenant(**spec(**reaching))
        refused = await api.client.post("/v1/tenants", json=body, headers=operator)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert f"spec.compute.config.{next(iter(reaching))}" in refused.json()["detail"]
        assert (await api.client.post("/v1/tenants", json=body)).status_code == 202
        for change in ({"image": "evil:1"}, {"env": {"A": "b"}}, {"command": ["cat", "/data/x"]}):
            patch = {"spec": {"compute": {"config": change}}}
            refused = await api.client.patch("/v1/tenants/acme", json=patch, headers=operator)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            dry = await api.client.patch("/v1/tenants/acme?dry_run=true", json=patch, headers=operator)
            assert dry.status_code == 403
        health = {"spec": {"health": {"interval_seconds": 7}}}
        assert (await api.client.patch("/v1/tenants/acme", json=health, headers=operator)).status_code == 403
        labels = {"labels": {"tier": "gold"}}
        assert (await api.client.patch("/v1/tenants/acme", json=labels, headers=operator)).status_code == 200
        away = {"spec": {"compute": {"config": dict.fromkeys(reaching)}}}
        assert (await api.client.patch("/v1/tenants/acme", json=away, headers=operator)).status_code == 202
        back = {"spec": {"compute": {"config": reaching}}}
        assert (await api.client.patch("/v1/tenants/acme", json=back, headers=operator)).status_code == 403
        assert (await api.client.patch("/v1/tenants/acme", json=back)).status_code == 202
    await docker.close()


async def test_access_to_container_instances_takes_an_admin_in_each_change(database_url: str) -> None:
    ecs = EcsCompute(policy=EcsPolicy(allow_host_access=True))
    async with api_on(database_url, more={"ecs": ecs}) as api:
        operator = await api.bearer("operator")
        definition = {"containerDefinitions": [{"name": "web", "image": "web:1"}], "networkMode": "host"}
        body = tenant(spec={"compute": {"provider": "ecs", "config": {"task_definition": definition}}})
        refused = await api.client.post("/v1/tenants", json=body, headers=operator)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await api.client.post("/v1/tenants", json=body)).status_code == 202
        patch = {"spec": {"compute": {"config": {"desired_count": 2}}}}
        assert (await api.client.patch("/v1/tenants/acme", json=patch, headers=operator)).status_code == 403
        assert (await api.client.patch("/v1/tenants/acme", json=patch)).status_code == 202
    await ecs.close()
