"""What people bring along for a container, over the API: each field is accepted, checked at POST, shown in plans."""

from typing import Any

import pytest

from controlplane.model.masking import MASK
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from tests.integration.api_replica import api_on, tenant

SECRET = "hunter2-fields"
FIELDS: dict[str, tuple[Any, Any]] = {
    "user": ("1000:1000", "-u"),
    "group_add": (["audio"], ["a:b"]),
    "working_dir": ("/srv", "srv"),
    "entrypoint": (["/serve"], []),
    "hostname": ("acme-1", "a_b"),
    "stop_grace_seconds": (30, 301),
    "stop_signal": ("SIGINT", "SIGNOTHING"),
    "labels": ({"traefik.enable": "true"}, {"landlord.owner": "me"}),
    "extra_hosts": (["db:10.0.0.5"], ["db"]),
    "shm_size_mib": (128, 0),
    "tmpfs": (["/run"], ["run"]),
    "read_only": (True, "yes"),
    "ulimits": ({"nofile": 1024}, {"files": 1}),
    "dns": (["9.9.9.9"], ["resolver"]),
    "log_driver": ("local", "printer"),
    "log_options": ({"max-size": "2m"}, {"max-size": "9g"}),
    "init": (True, 1),
    "gpus": ("all", "some"),
    "registry_auth": ({"secret": "file:registry"}, f"user:{SECRET}"),
}
"""A good value and a bad one."""


def spec(**config: Any) -> dict[str, Any]:
    return {"spec": {"compute": {"provider": "docker", "config": {"image": "web:1", **config}}}}


def test_each_of_them_is_a_field() -> None:
    assert FIELDS.keys() <= DockerConfig.model_fields.keys()


async def test_each_field_is_checked_at_post_shown_in_plans_and_taken(database_url: str) -> None:
    docker = DockerCompute(policy=DockerPolicy(allow_host_access=True))
    good = {name: value for name, (value, _) in FIELDS.items()}
    async with api_on(database_url, more={"docker": docker}) as api:
        for name, (_, bad) in FIELDS.items():
            refused = await api.client.post("/v1/tenants", json=tenant(**spec(**{name: bad})))
            assert refused.status_code == 400, (name, refused.text)
            assert refused.json()["code"] == "validation_failed"
            for error in refused.json()["errors"]:
                assert error["loc"].startswith(f"spec.compute.config.{name}"), refused.text
            assert SECRET not in refused.text
        made = await api.client.post("/v1/tenants", json=tenant(**spec(env={"A": "b"})))
        assert made.status_code == 202, made.text
        plan = await api.client.patch("/v1/tenants/acme?dry_run=true", json=spec(**good))
        assert plan.status_code == 200, plan.text
        shown = {
            change["path"].removeprefix("spec.compute.config."): change["after"] for change in plan.json()["changes"]
        }
        assert {path.partition(".")[0] for path in shown} == FIELDS.keys()
        assert shown["registry_auth.secret"] == "file:registry"
        changed = await api.client.patch("/v1/tenants/acme", json=spec(**good))
        assert changed.status_code == 202, changed.text
        config = changed.json()["spec"]["compute"]["config"]
        assert {name: config[name] for name in good} == good
    await docker.close()


@pytest.mark.parametrize("login", [{"secret": "file:registry"}, "file:registry"], ids=["reference", "text"])
async def test_a_login_comes_back_as_it_was_shown(database_url: str, login: Any) -> None:
    docker = DockerCompute()
    async with api_on(database_url, more={"docker": docker}) as api:
        made = await api.client.post("/v1/tenants", json=tenant(**spec(registry_auth=login)))
        assert made.status_code == 202, made.text
        shown = made.json()["spec"]["compute"]["config"]["registry_auth"]
        assert shown == (login if isinstance(login, dict) else MASK)
        again = await api.client.patch("/v1/tenants/acme", json=spec(registry_auth=shown))
        assert (again.status_code, again.json()["generation"]) == (200, 1)
        other = await api.client.patch("/v1/tenants/acme", json=spec(registry_auth={"secret": "file:other"}))
        assert (other.status_code, other.json()["generation"]) == (202, 2)
    await docker.close()
