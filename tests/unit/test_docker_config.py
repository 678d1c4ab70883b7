"""What a docker config may say, what the engine is told, and how its words are read."""

from typing import Any

import pytest
from pydantic import SecretStr

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Retryable, Unavailable, WaitsFor
from controlplane.model import HealthSpec
from controlplane.ports import ResourceState
from controlplane.settings import Settings
from providers.compute.docker.config import DockerConfig
from providers.compute.docker.container import PORTS_LABEL, creation_body, from_inspection, from_summary
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.compute.docker.refusals import refused, refused_creation, refused_image, refused_start
from tests.unit.builders import OWNERSHIP

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


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "driver failed programming external connectivity on endpoint x (3f): Bind for 127.0.0.1:8080 failed: "
            "port is already allocated",
            NotAvailableYet,
            "port 8080 on 127.0.0.1 is already in use",
        ),
        (
            "driver failed programming external connectivity on endpoint x (3f): Error starting userland proxy: "
            "listen tcp4 127.0.0.1:8081: bind: address already in use",
            NotAvailableYet,
            "port 8081 on 127.0.0.1 is already in use",
        ),
        (
            "failed to set up container networking: driver failed programming external connectivity on endpoint x: "
            "failed to bind host port for 0.0.0.0:8082:172.17.0.2:80/tcp: address already in use",
            NotAvailableYet,
            "port 8082 on 0.0.0.0 is already in use",
        ),
        (
            "driver failed programming external connectivity on endpoint x (3f): Bind for :::8083 failed: "
            "port is already allocated",
            NotAvailableYet,
            "port 8083 on :: is already in use",
        ),
        ("network own not found", NotAvailableYet, "network own does not exist"),
        (
            'exec: "serve": executable file not found in $PATH',
            InvalidConfig,
            "the command 'serve' cannot run in image web:1",
        ),
        ("something else", Retryable, "web:1 could not be started: something else"),
    ],
)
def test_refused_starts_name_port_network_or_command(text: str, error: type[LandlordError], message: str) -> None:
    found = refused_start("web:1", ["serve"], 500, text)
    assert isinstance(found, error)
    assert message in str(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "driver failed programming external connectivity on endpoint x (3f): "
            'exec: "docker-proxy": executable file not found in $PATH',
            "docker-proxy",
        ),
        (
            "driver failed programming external connectivity on endpoint x (3f): Error starting userland proxy: error "
            "while calling PortManager.AddPort(): cannot expose privileged port 80, you can add "
            "'net.ipv4.ip_unprivileged_port_start=80' to /etc/sysctl.conf: listen tcp4 0.0.0.0:80: bind: "
            "permission denied",
            "may not open port 80 of its machine",
        ),
        (
            "failed to create shim task: OCI runtime create failed: mkdir /run/containerd/io.containerd.runtime.v2.task"
            ": no such file or directory",
            "web:1 could not be started",
        ),
        ('exec: "docker-init": executable file not found in $PATH', "docker-init"),
        (
            'failed to start shim: exec: "containerd-shim-runc-v2": executable file not found in $PATH',
            "containerd-shim",
        ),
        (
            "failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error (open "
            "/run/x/log.json: no such file or directory): fork/exec /usr/sbin/runc: permission denied",
            "/usr/sbin/runc",
        ),
    ],
)
def test_what_the_engine_lacks_is_no_fault_of_the_command(text: str, message: str) -> None:
    found = refused_start("web:1", ["serve"], 500, text)
    assert isinstance(found, Unavailable)
    assert message in found.message


@pytest.mark.parametrize(
    "text",
    [
        "OCI runtime create failed: container_linux.go:380: starting container process caused: "
        'exec: "containerd": executable file not found in $PATH: unknown',
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
        'failed: unable to start container process: exec: "/srv": permission denied: unknown',
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
        'error during container init: exec: "/x": stat /x: no such file or directory: unknown',
        'OCI runtime create failed: starting container process caused: chdir to cwd ("/x") set in config.json '
        "failed: permission denied: unknown",
        "crun: executable file `serve` not found in $PATH: No such file or directory: OCI runtime attempted to invoke "
        "a command that was not found",
        "Unable to find group audio",
    ],
)
def test_what_the_image_lacks_never_works(text: str) -> None:
    assert isinstance(refused_start("web:1", ["serve"], 400, text), InvalidConfig)


def test_a_value_of_the_environment_hides_no_reason() -> None:
    text = "driver failed: Bind for 127.0.0.1:8080 failed: port is already allocated (token hunter2)"
    found = refused_start("web:1", [], 500, text, ["8080", "hunter2"])
    assert (type(found), found.message) == (NotAvailableYet, "port 8080 on 127.0.0.1 is already in use")
    assert "hunter2" not in refused_start("web:1", [], 500, "no: hunter2", ["hunter2"]).message


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (400, "Range of CPUs is from 0.01 to 2.00", InvalidConfig),
        (404, "No such image: web:1", NotAvailableYet),
        (500, "no space left on device", Unavailable),
        (500, "could not find an available, non-overlapping IPv4 address pool", NotAvailableYet),
        (500, "something else", Retryable),
    ],
)
def test_refused_creations_name_the_image(status: int, text: str, error: type[LandlordError]) -> None:
    found = refused_creation("web:1", status, text)
    assert isinstance(found, error)
    assert "web:1" in str(found)


@pytest.mark.parametrize(
    ("error", "waits_for"),
    [
        (refused_image("web:1", "never", "", 404), WaitsFor.IMAGE_NOT_FOUND),
        (refused_image("web:1", "missing", "manifest for web:1 not found: manifest unknown", 404), "ImageNotFound"),
        (refused_image("web:1", "missing", "pull access denied for web, repository does not exist"), "ImageNotFound"),
        (
            refused_image("web:1", "missing", "Get https://x/v2/: dial tcp: lookup x on 10.0.0.1:53: i/o timeout", 500),
            WaitsFor.IMAGE_NOT_FOUND,
        ),
        (
            refused_image("127.0.0.1:5/web:1", "missing", "dial tcp 127.0.0.1:5: connect: connection refused", 500),
            WaitsFor.PLATFORM_UNAVAILABLE,
        ),
        (
            refused_image("web:1", "always", "toomanyrequests: you have reached your pull limit", 500),
            "PlatformUnavailable",
        ),
        (
            refused_image("web:1", "missing", "received unexpected HTTP status: 503 Service Unavailable", 500),
            WaitsFor.PLATFORM_UNAVAILABLE,
        ),
        (
            refused_image("web:1", "missing", "error parsing HTTP 403 response body: unexpected end", 500),
            WaitsFor.ACCESS_REFUSED,
        ),
        (refused_image("web:1", "missing", "Head https://x/v2/web: no basic auth credentials", 500), "AccessRefused"),
        (refused_image("web:1", "missing", "no end after 600 s"), WaitsFor.PLATFORM_UNAVAILABLE),
        (refused_image("web:1", "missing", "its registry sent nothing more for 60 s"), WaitsFor.PLATFORM_UNAVAILABLE),
        (refused_creation("web:1", 404, "No such image: web:1"), WaitsFor.IMAGE_NOT_FOUND),
        (
            refused_creation("web:1", 500, "all predefined address pools have been fully subnetted"),
            "NetworkPoolExhausted",
        ),
        (
            refused(404, "could not find an available, non-overlapping IPv4 address pool among the defaults"),
            WaitsFor.NETWORK_POOL_EXHAUSTED,
        ),
        (refused(503, "the engine is shutting down"), WaitsFor.PLATFORM_UNAVAILABLE),
        (refused(409, "volume is in use"), None),
        (
            refused_start("web:1", [], 500, "Bind for 127.0.0.1:80 failed: port is already allocated"),
            WaitsFor.PORT_TAKEN,
        ),
        (refused_start("web:1", [], 500, "containerd: connection error: transport is closing"), "PlatformUnavailable"),
        (refused_start("web:1", [], 500, "OCI runtime create failed: something else"), None),
    ],
)
def test_what_is_outside_the_spec_is_waited_for(error: Retryable, waits_for: str | None) -> None:
    assert error.waits_for == waits_for


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
