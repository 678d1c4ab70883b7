"""What a docker config may say, and what an update of one changes."""

from typing import Any

import pytest
from pydantic import SecretStr

from controlplane.errors import InvalidConfig
from controlplane.model import HealthSpec
from controlplane.settings import Settings
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute

SECRET = "hunter2-unit"


def refusals(
    config: dict[str, Any], health: dict[str, Any] | None = None, policy: DockerPolicy | None = None, **of_policy: Any
) -> dict[str, str]:
    """loc → message; empty where it is accepted."""
    try:
        compute = DockerCompute(policy=policy or DockerPolicy(**of_policy))
        compute.validate(config, HealthSpec.model_validate(health or {}))
    except InvalidConfig as error:
        return {item["loc"]: item["message"] for item in error.errors}
    return {}


def test_all_of_it_is_accepted() -> None:
    config = {
        "image": "registry.local:5000/team/web@sha256:" + "a" * 64,
        "command": "server --port 8080",
        "env": {"COLOR": "blue", "EMPTY": ""},
        "ports": [
            {"container_port": 8080},
            {"container_port": 53, "host_port": 5353, "protocol": "udp", "host_ip": "::1"},
        ],
        "resources": {"cpu_millis": 250, "memory_mib": 64, "pids": 100},
        "volumes": ["data:/data", {"source": "config", "target": "/etc/app", "read_only": True}],
        "network": "tenant",
        "restart_policy": "on-failure",
        "pull": "never",
    }
    assert refusals(config, {"http": {"port": 8080}}, publish=("127.0.0.1", "::1")) == {}


def test_a_machine_of_a_cluster_publishes_at_its_own_address() -> None:
    settings = Settings(node_address="10.0.0.2", database_url=SecretStr("postgresql://db/landlord"))
    ports: list[dict[str, Any]] = [{"container_port": 1}, {"container_port": 2, "host_ip": "10.0.0.2"}]
    assert refusals({"image": "web", "ports": ports}, policy=DockerPolicy.of(settings)) == {}
    of_another = {"container_port": 3, "host_ip": "10.0.0.3"}
    assert list(refusals({"image": "web", "ports": [of_another]}, policy=DockerPolicy.of(settings))) == [
        "ports.0.host_ip"
    ]
    assert DockerPolicy.of(Settings()) == DockerPolicy(own_port=8000)
    # Whoever allows no address but another one has said so for ports without one too, on a machine that is alone.
    assert list(refusals({"image": "web", "ports": ports[:1]}, publish=("10.0.0.9",))) == ["ports.0.host_ip"]


@pytest.mark.parametrize(
    ("config", "loc", "message"),
    [
        ({}, "image", "Field required"),
        ({"image": ""}, "image", "'' is not the name of an image"),
        ({"image": "Web"}, "image", "in lower case"),
        ({"image": "web", "resources": {"pids": 0}}, "resources.pids", "greater than or equal to 4"),
        ({"image": "two words"}, "image", "'two words' is not the name of an image"),
        ({"image": "web", "imag": "web"}, "imag", "not permitted"),
        ({"image": "web", "env": {"TOKEN": 7}}, "env.TOKEN", "must be text"),
        ({"image": "web", "env": {"A=B": SECRET}}, "env.A=B.[key]", "pattern"),
        ({"image": "web", "command": "a 'b"}, "command", "cannot be split"),
        ({"image": "web", "ports": [{"container_port": 0}]}, "ports.0.container_port", "greater than or equal to 1"),
        ({"image": "web", "ports": [{"container_port": "80"}]}, "ports.0.container_port", "valid integer"),
        ({"image": "web", "ports": [{"container_port": 1, "host_ip": "here"}]}, "ports.0.host_ip", "IP address"),
        ({"image": "web", "ports": [{"container_port": 1}, {"container_port": 1}]}, "ports", "given twice"),
        (
            {"image": "web", "ports": [{"container_port": p, "host_port": 8080} for p in (1, 2)]},
            "ports",
            "a host port is given twice",
        ),
        ({"image": "web", "resources": {"memory_mib": 1}}, "resources.memory_mib", "greater than or equal to 6"),
        ({"image": "web", "volumes": ["data"]}, "volumes.0", "NAME:/PATH"),
        ({"image": "web", "volumes": ["../up:/data"]}, "volumes.0.source", "name of a volume"),
        ({"image": "web", "volumes": ["a:/data", "b:/data"]}, "volumes", "a target is given twice"),
        ({"image": "web", "network": "container:other"}, "network", "pattern"),
        ({"image": "web", "network": "landlord-other-12345678"}, "network", "tenant's own"),
        ({"image": "web", "network": "none", "ports": [{"container_port": 1}]}, "network", "publishes no ports"),
        ({"image": "web", "pull": "sometimes"}, "pull", "'missing', 'always' or 'never'"),
    ],
)
def test_what_can_never_work_names_its_field(config: dict[str, Any], loc: str, message: str) -> None:
    found = refusals(config)
    assert list(found) == [loc]
    assert message in " ".join(found.values())
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"privileged": True}, "privileged"),
        ({"network": "host"}, "network"),
        ({"volumes": ["/etc:/host"]}, "volumes.0.source"),
    ],
)
def test_the_host_is_out_of_reach_unless_a_setting_allows_it(change: dict[str, Any], loc: str) -> None:
    config = {"image": "web", **change}
    assert list(refusals(config)) == [loc]
    assert "LANDLORD_DOCKER_ALLOW_HOST_ACCESS" in refusals(config)[loc]
    assert refusals(config, allow_host_access=True) == {}
    assert DockerCompute().host_access(config) == [loc], "and takes an admin"


@pytest.mark.parametrize(
    ("change", "loc", "setting", "policy"),
    [
        ({"network": "database"}, "network", "LANDLORD_DOCKER_NETWORKS", {"networks": ("database",)}),
        ({"network": "bridge"}, "network", "LANDLORD_DOCKER_NETWORKS", {"networks": ("bridge",)}),
        ({"network": "default"}, "network", "LANDLORD_DOCKER_NETWORKS", {"networks": ("default",)}),
        (
            {"ports": [{"container_port": 1}, {"container_port": 2, "host_ip": "0.0.0.0"}]},
            "ports.1.host_ip",
            "LANDLORD_DOCKER_PUBLISH",
            {"publish": ("127.0.0.1", "0.0.0.0")},
        ),
        (
            {"ports": [{"container_port": 1, "host_ip": "::1", "host_port": 8000}]},
            "ports.0.host_ip",
            "LANDLORD_DOCKER_PUBLISH",
            {"publish": ("::1",)},
        ),
    ],
)
def test_what_is_not_the_tenants_own_takes_a_setting(
    change: dict[str, Any], loc: str, setting: str, policy: dict[str, Any]
) -> None:
    config = {"image": "web", **change}
    assert list(refusals(config)) == [loc]
    assert setting in refusals(config)[loc]
    assert refusals(config, **policy) == {}
    assert DockerCompute().host_access(config) == []


def test_no_tenant_holds_the_port_to_which_clients_send_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it could whenever the API is down. A port of another machine's engine is another port."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    ports = [{"container_port": 1, "host_port": 9000}, {"container_port": 2, "host_port": 8000}]
    own: dict[str, Any] = {"own_port": DockerPolicy.of(Settings()).own_port}
    assert refusals({"image": "web", "ports": ports}, **own) == {
        "ports.1.host_port": "port 8000 is the control plane's own; leave it out, or take another"
    }
    assert refusals({"image": "web", "ports": [{**ports[1], "protocol": "udp"}]}, **own) == {}
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.5:2375")
    assert refusals({"image": "web", "ports": ports}, **own) == {}


@pytest.mark.parametrize(
    ("image", "registries", "allowed"),
    [
        ("web", None, True),
        ("127.0.0.1:8265/x", None, True),
        ("127.0.0.1:8265/x", ("docker.io",), False),
        ("web:1", ("docker.io",), True),
        ("docker.io/library/web", ("docker.io/library",), True),
        ("acme/web", ("docker.io/library",), False),
        ("acme/web", ("ghcr.io",), False),
        ("ghcr.io/acme/web", ("docker.io", "ghcr.io/acme"), True),
        ("ghcr.io/acme-else/web", ("ghcr.io/acme",), False),
        ("ghcr.io.evil.example/acme/web", ("ghcr.io",), False),
        ("web", (), False),
    ],
)
def test_images_come_from_the_registries_of_the_installation(
    image: str, registries: tuple[str, ...] | None, allowed: bool
) -> None:
    found = refusals({"image": image}, registries=registries)
    assert list(found) == ([] if allowed else ["image"])
    assert allowed or "LANDLORD_DOCKER_REGISTRIES" in found["image"]


@pytest.mark.parametrize(
    ("ports", "health", "loc"),
    [
        ([], {"http": {}}, "health.http.port"),
        ([{"container_port": 1}, {"container_port": 2}], {"http": {}}, "health.http.port"),
        ([{"container_port": 1}], {"tcp": {"port": 2}}, "health.tcp.port"),
        ([{"container_port": 1, "protocol": "udp"}], {"tcp": {"port": 1}}, "health.tcp.port"),
        ([{"container_port": 1}], {"tcp": {}}, None),
        ([{"container_port": 1}, {"container_port": 2}], {"http": {"port": 2}}, None),
        ([], {}, None),
    ],
)
def test_a_probe_needs_a_published_port(ports: list[Any], health: dict[str, Any], loc: str | None) -> None:
    assert list(refusals({"image": "web", "ports": ports}, health)) == ([] if loc is None else [loc])


@pytest.mark.parametrize(
    ("before", "after", "exclusive"),
    [
        ({}, {}, False),
        ({"ports": [{"container_port": 80}]}, {"ports": [{"container_port": 80}]}, False),
        (
            {"ports": [{"container_port": 80, "host_port": 80}]},
            {"ports": [{"container_port": 81, "host_port": 80}]},
            True,
        ),
        (
            {"ports": [{"container_port": 80, "host_port": 80}]},
            {"ports": [{"container_port": 80, "host_port": 81}]},
            False,
        ),
        (
            {"ports": [{"container_port": 80, "host_port": 80}]},
            {"network": "host", "ports": [{"container_port": 80}]},
            True,
        ),
        (
            {"ports": [{"container_port": 53, "host_port": 53}]},
            {"ports": [{"container_port": 53, "host_port": 53, "protocol": "udp"}]},
            False,
        ),
        ({"volumes": ["data:/data"]}, {"volumes": ["data:/elsewhere"]}, True),
        ({"volumes": ["data:/data"]}, {"volumes": ["data:/data:ro"]}, True),
        ({"volumes": ["data:/data:ro"]}, {"volumes": ["data:/data:ro"]}, False),
        ({"volumes": ["data:/data"]}, {"volumes": ["more:/data"]}, False),
        ({"network": "tenant"}, {"network": "tenant"}, False),
        ({"of": "a release that is gone"}, {}, True),
    ],
)
def test_exclusive_is_what_two_generations_cannot_share(
    before: dict[str, Any], after: dict[str, Any], exclusive: bool
) -> None:
    assert DockerCompute().exclusive({"image": "web", **before}, {"image": "web", **after}) is exclusive


def test_a_plan_names_paths() -> None:
    provider = DockerCompute()
    before = {"image": "web:1", "env": {"COLOR": "blue", "OLD": "x"}}
    after = {"image": "web:2", "env": {"COLOR": "blue"}, "resources": {"memory_mib": 64}}
    assert [(c.path, c.before, c.after) for c in provider.diff(before, after)] == [
        ("env.OLD", "x", None),
        ("image", "web:1", "web:2"),
        ("resources.memory_mib", None, 64),
    ]
    assert provider.diff(before, {**before, "pull": "missing"}) == []
