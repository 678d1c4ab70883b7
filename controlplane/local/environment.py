"""The environment of everything that `up` starts: composed, not inherited."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from controlplane.local.authority import NodeCertificates
from controlplane.local.paths import Home
from controlplane.local.ports import Ports
from controlplane.local.processes import HOME_ID_VARIABLE
from controlplane.settings import PREFIX, Settings

CLUSTER_VARIABLE = "LANDLORD_INTERNAL_CLUSTER_ID"

NOT_FOR_PROCESSES = frozenset({"admin_token", "token", "url", "ca", "context", "database_owner_url", "ray_redis"})
"""Settings for clients and for `landlord up` only: the server keeps only hashes of tokens, does not need its own
address, and must not own its tables. Of these, a change of `ray_redis` alone needs a restart: of the head."""
ORDINARY = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
DIRECT = (
    "localhost",
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "metadata.google.internal",
)
"""Never asked through a proxy: this machine, and where a cloud hands out credentials."""
PASSED_THROUGH = ("AWS_", "DOCKER_", "LANDLORD_SECRET_", "RAY_GRAFANA_", "RAY_PROMETHEUS_", "RAY_testing_")
"""By those of Grafana and Prometheus Ray's dashboard finds the panels that it shows."""

HEALTH_CHECKS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
"""The head asks each node this often. A machine whose cable is pulled is dead to it after 15 s, by Ray's own settings
after a minute: its tenants are to be told as lost within 30 s."""


def settings_environment(settings: Settings, database_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Every variable that decides how the control plane behaves: the effective settings, and those passed through to
    providers.

    If two starts have the same variables, no restart is needed between them.
    """
    effective = {"database_url": database_url}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name in NOT_FOR_PROCESSES or name in effective or value is None:
            continue
        effective[name] = ",".join(value) if isinstance(value, tuple) else str(value)
    passed = {name: value for name, value in environ.items() if name.startswith(PASSED_THROUGH)}
    passed |= proxy_environment(environ)
    return passed | {f"{PREFIX}{name.upper()}": value for name, value in effective.items()}


def proxy_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies for calls that leave this machine's network, for the SDKs that honour them. Empty if there is none.

    Programs read them in either spelling and some in one alone, so both are set, from the lower one if they differ."""
    found = {name: value for name in PROXIES if (value := environ.get(name.lower()) or environ.get(name))}
    if not found:
        return {}
    given = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    found["NO_PROXY"] = ",".join(dict.fromkeys([*filter(None, map(str.strip, given)), *DIRECT]))
    return found | {name.lower(): value for name, value in found.items()}


def fingerprint(variables: Mapping[str, str], *others: str) -> str:
    """One hash over the variables and everything else that decides."""
    return hashlib.sha256(json.dumps([sorted(variables.items()), *others]).encode()).hexdigest()


def node_environment(home: Home, settings: Settings, gcs: str) -> dict[str, str]:
    """Where Ray's head is, and what is between the nodes. `gcs`: address and port of the head's."""
    if settings.alone:
        # Ray replaces 127.0.0.1 by the routable address unless it believes that no other machine can join.
        return {"RAY_ADDRESS": gcs, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    others = {"RAY_ADDRESS": gcs, **HEALTH_CHECKS}
    if not settings.nodes_tls:
        return others
    files = NodeCertificates(home.nodes)
    return {
        **others,
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(files.certificate),
        "RAY_TLS_SERVER_KEY": str(files.key),
        "RAY_TLS_CA_CERT": str(files.authority),
    }


def ray_environment(home: Home, ports: Ports, haproxy: Path) -> dict[str, str]:
    """The set-up of Ray and Serve on this machine: every port given, a token between the processes.

    `haproxy` is the launcher that Serve starts instead of the binary. The names of its sockets are short because Ray
    puts the node's 56 digits before them, and HAProxy takes 97 characters at most.
    """
    proxy = home.runtime
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.ray_token),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's client server forks a process for each script, while its threads are in gRPC. gRPC's own handlers of a
        # fork, which are on by default, end one in ten of those processes before they begin (Ray's issue 63202).
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        "AUTOSCALER_METRIC_PORT": str(ports.monitor_metrics),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Our replicas never block their loop, so a request need not cross threads; that would cost switches of the GIL.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(haproxy),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        # Goes to the file that the launcher uses as its standard output.
        "RAY_SERVE_HAPROXY_LOG_TARGET": "stdout len 8192 format raw",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.proxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.proxy_stats),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.proxy_fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.proxy_fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.ingress_first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.ingress_last),
        # The controller compares what it wants with what is there, ten times a second by default: half of what all of
        # Serve costs at rest. Our replicas change only while `up` deploys, and their own checks come every 5 s.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        # A killed HAProxy is noticed after three of these periods. Ray's 10 s would mean half a minute without an
        # answer.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
        # A proxy's process may start slowly on a busy machine. After three of these times Serve kills it, which costs
        # more than it mends: `landlord up` waits for that proxy, and failed with it at Ray's 5 s.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # A replaced replica waits this long for requests that HAProxy sent it before hearing of the change.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    }


def server_environment(
    *,
    settings: Mapping[str, str],
    ray: Mapping[str, str],
    home_id: str,
    cluster_id: str,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment of the Ray head, and so of every actor and replica."""
    ordinary = {name: environ[name] for name in (*ORDINARY, *CERTIFICATES) if name in environ}
    internal = {HOME_ID_VARIABLE: home_id, CLUSTER_VARIABLE: cluster_id}
    return {"LANG": "C.UTF-8", **ordinary, **ray, **settings, **internal}
