"""Which Docker Engine is meant, and where its ports are reached."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import Unavailable
from providers.compute.docker import address
from providers.compute.docker.address import EngineAddress
from providers.compute.docker.reach import HERE, Reach


def context(home: Path, name: str, **endpoint: Any) -> None:
    """As the docker command writes it."""
    directory = home / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    directory.mkdir(parents=True)
    (directory / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("unix:///run/docker.sock", None),
        ("tcp://127.0.0.1:2375", None),
        ("tcp://localhost:2375", None),
        ("tcp://[::1]:2375", None),
        ("tcp://10.0.0.5:2375", "10.0.0.5"),
        ("tcp://docker-dind:2375", "docker-dind"),
        ("ssh://root@10.0.0.5", "10.0.0.5"),
    ],
)
def test_ports_are_reached_at_the_engines_host(host: str, reached_at: str | None) -> None:
    assert EngineAddress.find({"DOCKER_HOST": host}).reach == Reach(reached_at)


@pytest.mark.parametrize(
    ("bound", "here", "elsewhere"),
    [
        ("0.0.0.0", "127.0.0.1", "10.0.0.5"),
        ("", "127.0.0.1", "10.0.0.5"),
        ("::", "[::1]", "10.0.0.5"),
        ("127.0.0.1", "127.0.0.1", None),
        ("::1", "[::1]", None),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]", "[2001:db8::7]"),
    ],
)
def test_a_published_port_has_the_address_that_is_reached(bound: str, here: str, elsewhere: str | None) -> None:
    assert (HERE.at(bound), Reach("10.0.0.5").at(bound)) == (here, elsewhere)


def test_the_host_comes_before_the_context_and_that_before_the_current_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "DOCKER_CONTEXT": "one", "DOCKER_HOST": "tcp://10.0.0.1:2375"}
    docker = tmp_path / ".docker"
    context(docker, "one", Host="tcp://10.0.0.2:2375")
    context(docker, "two", Host="tcp://10.0.0.3:2375")
    (docker / "config.json").write_text('{"currentContext": "two"}')
    found = [EngineAddress.find(environ).url]
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        del environ[name]
        found.append(EngineAddress.find(environ).url)
    assert found == [f"tcp://10.0.0.{number}:2375" for number in (1, 2, 3)]
    environ["DOCKER_CONTEXT"] = "default"
    assert EngineAddress.find(environ).scheme == "unix"


def test_a_rootless_engine_is_found_where_the_machine_has_no_other(
    tmp_path: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "SOCKET", str(tmp_path / "none.sock"))
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(short_dir)}
    assert EngineAddress.find(environ).url == f"unix://{tmp_path}/none.sock"
    with socket.socket(socket.AF_UNIX) as rootless:
        rootless.bind(str(short_dir / "docker.sock"))
        assert EngineAddress.find(environ).url == f"unix://{short_dir}/docker.sock"
        (tmp_path / "none.sock").touch()
        assert EngineAddress.find(environ).url == f"unix://{tmp_path}/none.sock"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"DOCKER_HOST": "10.0.0.5:2375"}, "DOCKER_HOST is no address .*: use unix:///PATH, tcp://HOST:PORT or ssh://"),
        ({"DOCKER_HOST": "tcp://10.0.0.5"}, "DOCKER_HOST is no address"),
        ({"DOCKER_HOST": "npipe:////./pipe/docker"}, "DOCKER_HOST is no address"),
        ({"DOCKER_HOST": "tcp://[::1"}, "DOCKER_HOST is no address"),
        ({"DOCKER_CONTEXT": "gone"}, "there is no docker context 'gone'; `docker context ls`"),
        (
            {"DOCKER_HOST": "tcp://10.0.0.5:2376", "DOCKER_TLS_VERIFY": "1"},
            "ca.pem and cert.pem and key.pem cannot be read in ~/.docker .DOCKER_CERT_PATH is not set.; put ",
        ),
    ],
)
def test_what_cannot_be_used_says_what_to_set(environ: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=message):
        EngineAddress.find({"HOME": str(tmp_path), **environ})


def test_certificates_are_for_tcp_alone(tmp_path: Path) -> None:
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere", "HOME": str(tmp_path)}
    for host in ("unix:///run/docker.sock", "ssh://root@10.0.0.5"):
        assert EngineAddress.find({**environ, "DOCKER_HOST": host}).tls is None
