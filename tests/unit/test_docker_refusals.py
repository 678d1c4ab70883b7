"""How the engine's refusals are read: which wait, which never work, and what they name."""

import pytest

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Retryable, Unavailable, WaitsFor
from providers.compute.docker.refusals import refused, refused_creation, refused_image, refused_start


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
