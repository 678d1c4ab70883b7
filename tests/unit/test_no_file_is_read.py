"""No value in any place of a config, with every setting in its default, brings a file of the control plane's or a
variable of its own to a tenant: neither its content, nor the host's path as something that Docker Engine would open."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import LandlordError
from controlplane.model import HealthSpec
from controlplane.settings import Settings
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.container import creation_body
from providers.compute.docker.output import OPTIONS
from providers.compute.docker.provider import DockerCompute
from providers.compute.ecs.config import EcsConfig
from providers.compute.ecs.provider import EcsCompute
from providers.compute.process.config import ProcessConfig
from providers.conformance.compute_bench import desire
from providers.kit.secrets import Secrets

HUSH = "c0ntent-of-ours"
ENVIRON = {"LANDLORD_ADMIN_TOKEN": HUSH, "LANDLORD_SECRET_GLOBEX__KEY": HUSH, "LANDLORD_SECRET_ACME__KEY": "own"}
FILES = ("token", "ray-token", "config.yaml", "logs/api.log", "secrets/stray", "secrets/globex/key")

DOCKER: dict[str, Any] = {
    "image": "web:1",
    "command": ["serve", "x"],
    "entrypoint": ["/bin/tini"],
    "user": "1000:1000",
    "group_add": ["audio"],
    "working_dir": "/srv",
    "hostname": "web",
    "env": {"A": "b", "S": {"secret": "file:key"}},
    "secret_env": ["A"],
    "ports": [{"container_port": 80, "host_port": 8080, "protocol": "tcp", "host_ip": "127.0.0.1"}],
    "resources": {"cpu_millis": 100, "memory_mib": 64, "pids": 64},
    "volumes": [{"source": "data", "target": "/data", "read_only": False}],
    "network": "tenant",
    "restart_policy": "no",
    "pull": "missing",
    "privileged": False,
    "init": False,
    "stop_grace_seconds": 1,
    "stop_signal": "SIGTERM",
    "labels": {"a": "b"},
    "extra_hosts": ["db:10.0.0.5"],
    "dns": ["10.0.0.53"],
    "read_only": False,
    "tmpfs": [{"target": "/run", "size_mib": 16}],
    "shm_size_mib": 64,
    "ulimits": {"nofile": {"soft": 64, "hard": 64}},
    "registry_auth": {"secret": "file:key"},
    "log_driver": "json-file",
    "log_options": {"max-size": "1m", "tag": "x", "labels": "a", "env": "A"},
}
REACHES_HOST = {"gpus"}
"""Fields that take access to the host whatever their value."""
ECS: dict[str, Any] = {
    "cluster": "default",
    "task_definition": {
        "family": "web",
        "networkMode": "awsvpc",
        "containerDefinitions": [
            {
                "name": "web",
                "image": "web:1",
                "command": ["serve"],
                "environment": [{"name": "A", "value": "b"}, {"name": "S", "value": {"secret": "file:key"}}],
                "workingDirectory": "/srv",
                "user": "1000",
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "g"}},
                "dockerLabels": {"a": "b"},
            }
        ],
        "volumes": [{"name": "data"}],
    },
    "secret_env": ["A"],
    "desired_count": 1,
    "launch_type": None,
    "capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    "service_connect": {"enabled": True},
    "health_check_grace_period_seconds": None,
    "network_configuration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
}
NAMES_A_ROLE = {"assume_role_arn", "load_balancers", "service_registries"}
"""Fields whose every value takes a setting."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(HUSH)
    (tmp_path / "secrets" / "acme").mkdir()
    (tmp_path / "secrets" / "acme" / "key").write_text("own")
    return tmp_path


def hostile(home: Path) -> list[Any]:
    token = f"{home}/token"
    paths = [token, f"{home}/secrets", "../../token", "/proc/self/environ", "/proc/1/root" + token, "~/token"]
    mounts = [f"{home}:/x", f"{home}:/x:ro", f"type=bind,source={home},target=/x", "/:/host"]
    read = [f"@{token}", f"file://{token}", f"file:{token}", f"file:/{token}", "file:../token", "file:../../token"]
    others = [
        "file:../globex/key",
        "file:globex/key",
        "file:../stray",
        "file:stray",
        "file:.",
        "file:shared/../../token",
    ]
    variables = ["env:LANDLORD_ADMIN_TOKEN", "env:LANDLORD_SECRET_GLOBEX__KEY", "env:LANDLORD_SECRET_../TOKEN"]
    shells = ["${LANDLORD_ADMIN_TOKEN}", "$LANDLORD_ADMIN_TOKEN", f"$(cat {token})", f"{{{{file {token}}}}}"]
    texts = [*paths, *mounts, *read, *others, *variables, *shells]
    objects = [{"secret": text} for text in [*read, *others, *variables, token]]
    files = [{"file": token}, {"env_file": token}, {"valueFrom": token}, {"source": str(home), "target": "/x"}]
    return [*texts, *objects, *files]


def changed(document: Any, value: Any) -> Iterator[Any]:
    """The document with the value in each place: of each member and of all that holds members, as one more of a list,
    and, if it is a text, as each name."""
    yield value
    if isinstance(document, Mapping):
        for name, item in document.items():
            for other in changed(item, value):
                yield {**document, name: other}
            if isinstance(value, str):
                yield {**{key: kept for key, kept in document.items() if key != name}, value: item}
    elif isinstance(document, list):
        for index, item in enumerate(document):
            for other in changed(item, value):
                yield [*document[:index], other, *document[index + 1 :]]
        yield [*document, value]


def configs(sample: Mapping[str, Any], home: Path) -> Iterator[dict[str, Any]]:
    """The sample with each hostile value in each place. (A config that is no object is refused with the spec.)"""
    for value in hostile(home):
        yield from (config for config in changed(sample, value) if isinstance(config, dict))


def test_the_samples_have_each_field() -> None:
    """A new field of a provider is walked too."""
    assert DOCKER.keys() | REACHES_HOST == DockerConfig.model_fields.keys()
    assert ECS.keys() | NAMES_A_ROLE == EcsConfig.model_fields.keys()


async def test_docker(home: Path) -> None:
    provider, secrets = DockerCompute.build(Settings(home=home)), Secrets(home / "secrets", ENVIRON).of("acme")
    accepted = 0
    for config in configs(DOCKER, home):
        try:
            parsed = provider.parse(config)
            if provider.problems(parsed, HealthSpec()):
                continue
            given = secrets.resolve(parsed.model_dump(mode="json"))
            login = given.pop("registry_auth", None)  # text by now, which only the pull gets
            resolved = provider.parse(given)
        except LandlordError:
            continue
        assert login in (None, "own"), config
        accepted += 1
        assert not provider.host_access(config), config
        body = creation_body(resolved, desire("i", config, tenant="acme").origin, "n", HealthSpec())
        assert HUSH not in json.dumps(body), config
        host = body["HostConfig"]
        for mount in host["Mounts"]:
            target = mount.pop("Target")  # a path in the container
            assert target.startswith("/")
            assert mount["Type"] in ("volume", "tmpfs"), config
        host.pop("NetworkMode"), host.pop("PortBindings")
        log = host.pop("LogConfig")  # the options of these drivers are texts and sizes
        assert log["Type"] in OPTIONS, config
        assert log["Config"].keys() <= OPTIONS[log["Type"]], config
        opened = json.dumps(host)
        assert str(home) not in opened, config
        assert "/proc" not in opened, config
    assert accepted > 500, "the walk is worth something only where values get through"
    await provider.close()


async def test_ecs(home: Path) -> None:
    provider, secrets = EcsCompute.build(Settings(home=home)), Secrets(home / "secrets", ENVIRON).of("acme")
    accepted = 0
    for config in configs(ECS, home):
        try:
            parsed = provider.parse(config)
            if provider.problems(parsed, HealthSpec()):
                continue
            resolved = secrets.resolve(parsed.model_dump(mode="json"))
        except LandlordError:
            continue
        accepted += 1
        assert HUSH not in json.dumps(resolved), config
    assert accepted > 300
    await provider.close()


def test_a_process_is_for_admins_whatever_its_config_says() -> None:
    """So the walk is for the two providers that operators may use (tests/integration/test_api_host_access.py)."""
    assert Settings().process_role == "admin"
    stops = {"stop_grace_seconds", "stop_signal"}
    assert ProcessConfig.model_fields.keys() == {"command", "env", "secret_env", "workdir", "resources"} | stops
