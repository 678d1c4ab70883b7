"""What the engine is told of a container, and how its words about one are read."""

from typing import Any

import pytest

from controlplane.model import HealthSpec
from controlplane.ports import ResourceState
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.container import PORTS_LABEL, creation_body, from_inspection, from_summary
from tests.unit.builders import OWNERSHIP

SECRET = "hunter2-unit"


def test_the_engine_is_told_loopback_limits_and_labels() -> None:
    config = DockerConfig.model_validate(
        {
            "image": "web:1",
            "env": {"COLOR": "blue"},
            "ports": [{"container_port": 9090}, {"container_port": 80, "host_port": 8080, "host_ip": "0.0.0.0"}],
            "resources": {"cpu_millis": 250, "memory_mib": 64},
            "volumes": ["data:/data:ro"],
        }
    )
    body = creation_body(config, OWNERSHIP, None, HealthSpec())
    assert "Healthcheck" not in body, "the image's own one holds"
    host = body["HostConfig"]
    assert host["PortBindings"] == {
        "9090/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
    }
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (250_000_000, 64 << 20, 64 << 20)
    assert host["Mounts"] == [
        {"Type": "volume", "Source": "landlord-acme-abcdef12-data", "Target": "/data", "ReadOnly": True}
    ]
    assert body["Labels"] == {**OWNERSHIP.labels(), PORTS_LABEL: "9090/tcp,80/tcp"}
    assert "Cmd" not in body


def inspection(**state: Any) -> dict[str, Any]:
    return {
        "Id": "3f1c",
        "Name": f"/{OWNERSHIP.name}",
        "Created": "2026-11-22T22:10:58.847157123Z",
        "Config": {
            "Labels": {**OWNERSHIP.labels(), PORTS_LABEL: "9090/tcp,80/tcp,53/udp"},
            "Env": [f"TOKEN={SECRET}", "PATH=/bin"],
        },
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {
            "Ports": {
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "32770"}],
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32769"}],
                "9090/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
                "7/tcp": None,
            }
        },
        "State": {"Status": "running", "ExitCode": 0, **state},
    }


def test_endpoints_keep_the_configs_order() -> None:
    seen = from_inspection(inspection())
    assert seen is not None
    assert [(e.name, e.url, e.port) for e in seen.endpoints] == [
        ("http", "http://127.0.0.1:32768", 9090),
        ("port-80", "http://127.0.0.1:32769", 80),
        ("port-53", "udp://127.0.0.1:32770", 53),
    ]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("80/udp,80/tcp", ["port-80", "port-80-tcp"]),
        ("80/tcp,80/udp", ["http", "port-80"]),
        ("53/udp,80/tcp", ["port-53", "port-80"]),
        ("9/tcp,80/tcp,80/udp", ["http", "port-80", "port-80-udp"]),
    ],
)
def test_no_two_endpoints_have_one_name(order: str, names: list[str]) -> None:
    details = inspection()
    details["Config"]["Labels"][PORTS_LABEL] = order
    published = {key: [{"HostIp": "127.0.0.1", "HostPort": "1024"}] for key in order.split(",")}
    details["NetworkSettings"]["Ports"] = published
    seen = from_inspection(details)
    assert seen is not None
    assert [endpoint.name for endpoint in seen.endpoints] == names


@pytest.mark.parametrize(
    ("state", "expected", "detail"),
    [
        ({"Status": "created"}, ResourceState.CREATED, "the container was never started"),
        (
            {"Status": "restarting", "ExitCode": 1},
            ResourceState.STARTING,
            "the container is restarting after exit code 1: no ***",
        ),
        ({"Status": "paused"}, ResourceState.STOPPED, "the container is paused: no ***"),
        ({"Status": "exited", "ExitCode": 3}, ResourceState.STOPPED, "the container exited with code 3: no ***"),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            ResourceState.STOPPED,
            "the container was killed for its memory limit (exit code 137): no ***",
        ),
    ],
)
def test_what_does_not_run_says_why_without_secrets(
    state: dict[str, Any], expected: ResourceState, detail: str
) -> None:
    seen = from_inspection(inspection(**state), f"no {SECRET}")
    assert seen is not None
    assert (seen.state, seen.detail, seen.endpoints) == (expected, detail, ())


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("Up 5 seconds", None),
        ("Up 5 seconds (healthy)", "healthy"),
        ("Up 5 seconds (unhealthy)", "unhealthy"),
        ("Up Less than a second (health: starting)", "starting"),
    ],
)
def test_the_list_tells_the_healthcheck_by_its_status_text(words: str, verdict: str | None) -> None:
    row = {
        "Id": "3f1c",
        "Names": [f"/{OWNERSHIP.name}"],
        "Labels": {**OWNERSHIP.labels(), PORTS_LABEL: "80/tcp"},
        "State": "running",
        "Status": words,
        "Created": 1795385820,
        "Ports": [
            {"PrivatePort": 81, "Type": "tcp"},
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 32768, "Type": "tcp"},
        ],
        "HostConfig": {"NetworkMode": "default"},
    }
    seen = from_summary(row)
    assert seen is not None
    assert seen.platform_health == verdict
    assert [endpoint.url for endpoint in seen.endpoints] == ["http://127.0.0.1:32768"]


def test_what_is_not_ours_is_nobodys() -> None:
    foreign = inspection()
    foreign["Config"]["Labels"] = {"landlord.tenant": "acme", "landlord.generation": "3"}
    assert from_inspection(foreign) is None


def test_what_bears_our_owner_label_is_ours_whatever_else_it_bears() -> None:
    bare = inspection()
    bare["Config"]["Labels"] = {"landlord.owner": "test"}
    found = from_inspection(bare)
    assert found is not None
    assert (found.origin.installation_id, found.origin.execution_id, found.origin.order) == ("test", "", (0, 0))
