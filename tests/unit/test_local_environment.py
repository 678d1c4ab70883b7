"""The environment of what `up` starts."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from controlplane.local.environment import (
    DIRECT,
    HEALTH_CHECKS,
    fingerprint,
    node_environment,
    ray_environment,
    server_environment,
    settings_environment,
)
from controlplane.local.paths import Home
from controlplane.local.ports import derive_ports
from controlplane.settings import Settings, load_settings

URL = "postgresql+asyncpg://landlord@/landlord?host=/run/x"


def test_settings_go_to_the_server_and_come_out_the_same(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=8123, compute_providers=("process", "fake"), actor_idle_seconds="never")
    variables = settings_environment(settings, URL, {})
    again = load_settings(variables)
    assert again == settings.model_copy(update={"database_url": SecretStr(URL)})


def test_the_token_and_the_url_stay_with_the_client(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, token=SecretStr("hush"), admin_token=SecretStr("hush" * 8), url="http://elsewhere"
    )
    variables = settings_environment(settings, URL, {})
    assert "hush" not in str(variables)
    assert "LANDLORD_URL" not in variables


def test_credentials_and_tenants_secrets_are_passed_through_and_nothing_else(tmp_path: Path) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "a",
        "DOCKER_HOST": "unix:///d",
        "LANDLORD_SECRET_DB": "s",
        "RAY_GRAFANA_HOST": "http://grafana:3000",
        "RAY_PROMETHEUS_HOST": "http://prometheus:9090",
        "RAY_ADDRESS": "auto",
        "SSH_AUTH_SOCK": "/x",
        "LANDLORD_PORT": "1",
        "PYTHONPATH": "/y",
    }
    variables = settings_environment(Settings(home=tmp_path), URL, environ)
    assert variables["AWS_ACCESS_KEY_ID"] == "a"
    assert variables["DOCKER_HOST"] == "unix:///d"
    assert variables["LANDLORD_SECRET_DB"] == "s"
    assert variables["LANDLORD_PORT"] == "8000"
    assert variables["RAY_GRAFANA_HOST"] == "http://grafana:3000"
    assert variables["RAY_PROMETHEUS_HOST"] == "http://prometheus:9090"
    assert not {"RAY_ADDRESS", "SSH_AUTH_SOCK", "PYTHONPATH"} & set(variables)


def test_proxies_are_passed_in_both_spellings_and_never_for_this_machine(tmp_path: Path) -> None:
    variables = settings_environment(
        Settings(home=tmp_path), URL, {"https_proxy": "http://proxy:3128", "NO_PROXY": "internal, 127.0.0.1"}
    )
    assert (variables["HTTPS_PROXY"], variables["https_proxy"]) == ("http://proxy:3128", "http://proxy:3128")
    given = ("internal", "127.0.0.1")
    assert variables["NO_PROXY"].split(",") == [*given, *(host for host in DIRECT if host not in given)]
    assert variables["no_proxy"] == variables["NO_PROXY"]
    assert "HTTP_PROXY" not in variables
    without = settings_environment(Settings(home=tmp_path), URL, {"NO_PROXY": "internal"})
    assert not {"NO_PROXY", "no_proxy"} & set(without)


def test_the_fingerprint_is_that_of_the_values_not_of_their_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1"}) != fingerprint({"a": "2"})
    assert fingerprint({"a": "1"}, "token") != fingerprint({"a": "1"}, "other")


def test_the_head_gets_a_clean_environment_with_our_mark(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ports = derive_ports(8000, free=lambda port: True)
    variables = server_environment(
        settings={"LANDLORD_PORT": "8000"},
        ray=node_environment(home, Settings(), "127.0.0.1:6379") | ray_environment(home, ports, tmp_path / "haproxy"),
        home_id=home.id,
        cluster_id="c",
        environ={"PATH": "/bin", "HOME": "/root", "TERM": "xterm", "RAY_ADDRESS": "elsewhere"},
    )
    assert variables["PATH"] == "/bin"
    assert variables["LANG"] == "C.UTF-8"
    assert "TERM" not in variables
    assert variables["RAY_ADDRESS"] == "127.0.0.1:6379"
    assert "RAY_USE_TLS" not in variables
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "ray-token")
    assert variables["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(tmp_path / "haproxy")
    assert variables["LANDLORD_INTERNAL_HOME_MARK"] == home.id
    assert variables["LANDLORD_INTERNAL_CLUSTER_ID"] == "c"


def test_machines_speak_tls_with_each_other_unless_told_otherwise(tmp_path: Path) -> None:
    settings = Settings(node_address="10.0.0.2", database_url=SecretStr("postgresql://db/landlord"))
    variables = node_environment(Home(tmp_path), settings, "10.0.0.1:24000")
    assert variables.pop("RAY_ADDRESS") == "10.0.0.1:24000"
    assert variables == {
        **HEALTH_CHECKS,
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(tmp_path / "nodes" / "node.pem"),
        "RAY_TLS_SERVER_KEY": str(tmp_path / "nodes" / "node.key"),
        "RAY_TLS_CA_CERT": str(tmp_path / "nodes" / "ca.pem"),
    }
    plain = node_environment(Home(tmp_path), settings.model_copy(update={"node_tls": False}), "10.0.0.1:24000")
    assert plain == {"RAY_ADDRESS": "10.0.0.1:24000", **HEALTH_CHECKS}
    # A silent node is dead to the head soon enough for its tenants to be told as lost within 30 s, one sweep included.
    period, patience, tries = (int(value) for value in HEALTH_CHECKS.values())
    assert tries * (period + patience) / 1000 + Settings().sweep_seconds < 30


@pytest.mark.parametrize("uid", [0, 1000, 65534, 4294967294])
def test_the_sockets_of_haproxy_fit_where_unix_sockets_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    """Ray puts a directory named by the node's 56 digits in between."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    variables = ray_environment(Home(tmp_path), derive_ports(8000, free=lambda port: True), tmp_path)
    for name in ("RAY_SERVE_HAPROXY_SOCKET_PATH", "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"):
        socket = Path(variables[name])
        assert len(str(socket.parent / ("0" * 56) / socket.name)) <= 97
