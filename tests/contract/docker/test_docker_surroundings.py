"""What people bring along for a container, on the real Docker Engine."""

import asyncio
from typing import Any

import docker
import pytest

from controlplane.errors import InvalidConfig
from controlplane.ports import Resource
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire
from tests.contract.docker.test_compute_docker import stopped

pytestmark = pytest.mark.docker

OPEN = Gate(True)
SLOW_TO_END = 'trap "sleep 12; exit 7" TERM; echo up; while :; do sleep 0.1; done'
"""Ends 12 seconds after it was asked to: later than the ten that others have."""


async def said(provider: DockerCompute, resource: Resource, word: str) -> None:
    async with asyncio.timeout(60):
        while True:
            if word in await provider.logs(resource.id, 5):
                return
            await asyncio.sleep(0.05)


async def test_a_container_has_all_of_it(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    config: dict[str, Any] = {
        "image": web_image,
        "user": "1000:1001",
        "group_add": ["2000"],
        "working_dir": "/srv/app",
        "entrypoint": ["/bin/sh", "-c"],
        "command": ["while :; do sleep 0.1; done"],
        "hostname": "acme-1",
        "stop_grace_seconds": 7,
        "stop_signal": "SIGINT",
        "labels": {"traefik.enable": "true", "traefik.http.routers.acme.rule": "Host(`acme.example.com`)"},
        "extra_hosts": ["db.internal:10.0.0.5"],
        "shm_size_mib": 8,
        "tmpfs": [{"target": "/scratch", "size_mib": 4}],
        "read_only": True,
        "ulimits": {"nofile": {"soft": 512, "hard": 1024}, "memlock": {"soft": 65536, "hard": 131072}},
        "dns": ["192.0.2.53"],
        "log_driver": "local",
        "log_options": {"max-size": "2m"},
        "init": True,
    }
    resource = await provider.apply(desire(installation_id, config), OPEN)
    details = docker_engine.api.inspect_container(resource.id)
    made, host = details["Config"], details["HostConfig"]
    told = {name: made[name] for name in ("User", "Entrypoint", "Hostname", "StopTimeout", "StopSignal")}
    assert told == {
        "User": "1000:1001",
        "Entrypoint": ["/bin/sh", "-c"],
        "Hostname": "acme-1",
        "StopTimeout": 7,
        "StopSignal": "SIGINT",
    }
    assert config["labels"].items() <= made["Labels"].items()
    assert made["Labels"]["landlord.owner"] == installation_id
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-size": "2m", "max-file": "2"}}
    assert host["Init"] is True

    def inside(command: str) -> str:
        """What a shell in the container prints, as the container's own user."""
        _, output = docker_engine.containers.get(resource.id).exec_run(["/bin/sh", "-c", command])
        return str(output.decode().strip())

    assert inside("id -u; id -g; hostname").split() == ["1000", "1001", "acme-1"]
    assert sorted(inside("id -G").split()) == ["1001", "2000"]
    assert inside("pwd") == "/srv/app"
    # Not nofile: a command that is run inside now and then has the engine's own (opencontainers/runc#4195).
    assert inside("ulimit -Sl; ulimit -Hl").split() == ["64", "128"]
    assert "10.0.0.5" in inside("grep db.internal /etc/hosts")
    assert "Read-only file system" in inside("echo x > /file")
    assert inside("echo kept > /scratch/file && cat /scratch/file") == "kept"
    assert inside("df -k /dev/shm /scratch | tail -n 2 | awk '{print $2}'").split() == ["8192", "4096"]
    assert "init" in inside("cat /proc/1/cmdline | tr '\\0' ' '")
    assert [(entry["Name"], entry["Soft"]) for entry in host["Ulimits"]] == [("memlock", 65536), ("nofile", 512)]
    assert host["Dns"] == ["192.0.2.53"]


async def test_a_container_has_the_time_to_end_that_it_asked_for(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    config = {
        "image": web_image,
        "command": ["/bin/sh", "-c", SLOW_TO_END],
        "stop_signal": "SIGTERM",
        "stop_grace_seconds": 120,
    }
    resource = await provider.apply(desire(installation_id, config), OPEN)
    await said(provider, resource, "up")
    await provider.stop(resource.id)
    state = docker_engine.api.inspect_container(resource.id)["State"]
    assert state["ExitCode"] == 7, "it was killed before its time"


async def test_output_that_is_kept_nowhere_hides_no_ended_container(
    provider: DockerCompute, installation_id: str, web_image: str
) -> None:
    config = {"image": web_image, "command": ["/bin/sh", "-c", "echo gone; exit 3"], "log_driver": "none"}
    resource = await provider.apply(desire(installation_id, config), OPEN)
    seen = await stopped(provider, resource, within=60)
    assert seen.detail == "the container exited with code 3"
    assert await provider.logs(resource.id, 10) == ""


async def test_a_user_that_the_image_does_not_have_is_named(
    provider: DockerCompute, installation_id: str, web_image: str
) -> None:
    for more in ({"user": "nobody-here"}, {"group_add": ["nobody-here"]}):
        with pytest.raises(InvalidConfig, match="nobody-here"):
            await provider.apply(desire(installation_id, {"image": web_image, **more}), OPEN)


async def test_an_engine_without_gpus_says_so(
    installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    provider = DockerCompute(policy=DockerPolicy(allow_host_access=True))
    with pytest.raises(InvalidConfig, match="gives containers no GPU here"):
        await provider.apply(desire(installation_id, {"image": web_image, "gpus": "all"}), OPEN)
    (made,) = await provider.list_owned(installation_id)
    asked = docker_engine.api.inspect_container(made.id)["HostConfig"]["DeviceRequests"]
    assert (asked[0]["Count"], asked[0]["Capabilities"]) == (-1, [["gpu"]])
    await provider.close()
