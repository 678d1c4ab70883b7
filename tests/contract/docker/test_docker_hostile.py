"""A hostile container on a real Docker Engine: what it tries against other tenants and against this machine gets
nowhere. Each try has a control that shows that it would work without the bound."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import docker
import pytest

from controlplane.errors import InvalidConfig, NotAvailableYet
from controlplane.ports import Resource
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire

pytestmark = pytest.mark.docker

OPEN = Gate(True)
SLEEP = ["sleep", "120"]
PIDS = 32
BOMB = "(i=0; while [ $i -lt 2000 ]; do sleep 60 & i=$((i+1)); done; echo all); exec sleep 60"
"""Would be 2,000 processes. Bounded by itself: each of them ends after a minute."""
NET_RAW = 1 << 13


def inside(engine: docker.DockerClient, resource: Resource, *words: str) -> tuple[int, str]:
    """Exit code and output of a command in the container."""
    code, output = engine.containers.get(resource.id).exec_run(list(words))
    return int(code), output.decode(errors="replace").strip()


def address(engine: docker.DockerClient, resource: Resource) -> tuple[str, str]:
    """The container's address and that of its gateway."""
    (network,) = engine.api.inspect_container(resource.id)["NetworkSettings"]["Networks"].values()
    return network["IPAddress"], network["Gateway"]


def get(engine: docker.DockerClient, resource: Resource, host: str, port: int) -> str:
    """What the container reads from there; empty if it cannot."""
    code, output = inside(engine, resource, "timeout", "3", "wget", "-q", "-O", "-", f"http://{host}:{port}/")
    return output if code == 0 else ""


@pytest.fixture
def setuid_image(docker_engine: docker.DockerClient, web_image: str) -> Iterator[str]:
    """Its user is 1000, `su` is set-uid root, and root has no password."""
    passwd = "root::0:0:root:/:/bin/sh\\napp:x:1000:1000:app:/:/bin/sh\\n"
    prepare = f"mkdir -p /etc && printf '{passwd}' > /etc/passwd && chmod 4755 /bin/su"
    container = docker_engine.containers.run(web_image, ["sh", "-c", prepare], detach=True)
    container.wait(timeout=60)
    name = f"landlord-test-setuid-{uuid4().hex[:8]}"
    container.commit(name, "1", changes="USER 1000")
    container.remove()
    yield f"{name}:1"
    docker_engine.images.remove(f"{name}:1", force=True)


async def test_it_reaches_no_other_tenant_and_no_loopback_of_this_machine(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    ports = [{"container_port": 8080}]
    victim = await provider.apply(
        desire(installation_id, {"image": web_image, "env": {"COLOR": "secret"}, "ports": ports}), OPEN
    )
    hostile = await provider.apply(desire(installation_id, {"image": web_image, "command": SLEEP}), OPEN)
    own, own_gateway = address(docker_engine, hostile)
    theirs, their_gateway = address(docker_engine, victim)
    published = int(victim.endpoints[0].url.rpartition(":")[2])

    def read(host: str, port: int) -> str:
        return get(docker_engine, hostile, host, port)

    while True:
        if await asyncio.to_thread(get, docker_engine, victim, "127.0.0.1", 8080) == "secret":
            break
        await asyncio.sleep(0.1)
    # The control: on one network, each reads the other.
    docker_engine.api.connect_container_to_network(
        victim.id, docker_engine.api.inspect_container(hostile.id)["HostConfig"]["NetworkMode"]
    )
    networks = docker_engine.api.inspect_container(victim.id)["NetworkSettings"]["Networks"].values()
    (beside,) = [network for network in networks if network["IPAddress"] != theirs]
    assert await asyncio.to_thread(read, beside["IPAddress"], 8080) == "secret"
    docker_engine.api.disconnect_container_from_network(victim.id, beside["NetworkID"])

    with socket.create_server(("127.0.0.1", 0)) as loopback:
        tries = [
            (theirs, 8080),
            (their_gateway, published),
            (own_gateway, published),
            ("127.0.0.1", published),
            (own_gateway, loopback.getsockname()[1]),
            (their_gateway, loopback.getsockname()[1]),
        ]
        got = await asyncio.gather(*(asyncio.to_thread(read, *one) for one in tries))
        assert dict(zip(tries, got, strict=True)) == dict.fromkeys(tries, "")
        loopback.settimeout(0.1)
        with pytest.raises(TimeoutError):
            loopback.accept()
    assert own != theirs


async def test_it_forges_no_packets_and_gets_no_rights(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    hostile = await provider.apply(desire(installation_id, {"image": web_image, "command": SLEEP}), OPEN)
    _, gateway = address(docker_engine, hostile)
    _, status = inside(docker_engine, hostile, "cat", "/proc/1/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert not int(lines[kind], 16) & NET_RAW, kind
    assert lines["NoNewPrivs"].strip() == "1"
    # The control: with Docker's own set of capabilities, it may ask by ARP, and so it may answer too.
    arping = ["arping", "-c", "1", "-w", "2", "-I", "eth0"]
    plain = docker_engine.containers.run(web_image, SLEEP, detach=True)
    try:
        plain.reload()
        there = plain.attrs["NetworkSettings"]["Gateway"]
        _, allowed = plain.exec_run([*arping, there])
    finally:
        plain.remove(force=True)
    assert b"not permitted" not in allowed
    code, refused = inside(docker_engine, hostile, *arping, gateway)
    assert code != 0
    assert "not permitted" in refused
    for command in (["mount", "-t", "proc", "x", "/proc"], ["chroot", "/proc/1/root/../../proc/sysrq-trigger"]):
        code, output = inside(docker_engine, hostile, *command)
        assert code != 0, output


async def test_set_uid_programs_give_it_nothing(
    provider: DockerCompute, installation_id: str, setuid_image: str, docker_engine: docker.DockerClient
) -> None:
    escalate = ["su", "root", "-c", "id -u"]
    # The control: without the bound, anybody becomes root.
    assert docker_engine.containers.run(setuid_image, escalate, remove=True).strip() == b"0"
    hostile = await provider.apply(desire(installation_id, {"image": setuid_image, "command": SLEEP}), OPEN)
    assert inside(docker_engine, hostile, "id", "-u") == (0, "1000")
    code, output = inside(docker_engine, hostile, *escalate)
    assert code != 0
    assert output != "0"


async def test_a_fork_bomb_stays_within_its_limit(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    config: dict[str, Any] = {"image": web_image, "command": ["sh", "-c", BOMB], "resources": {"pids": PIDS}}
    hostile = await provider.apply(desire(installation_id, config), OPEN)
    container = docker_engine.containers.get(hostile.id)
    assert container.attrs["HostConfig"]["PidsLimit"] == PIDS
    async with asyncio.timeout(60):
        while True:
            if b"fork" in container.logs():
                break
            await asyncio.sleep(0.1)
    assert b"all" not in container.logs()
    assert 1 < len(container.top()["Processes"]) <= PIDS
    await provider.destroy(hostile.id)


async def test_the_pids_limit_is_always_there(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    resource = await provider.apply(desire(installation_id, {"image": web_image, "command": SLEEP}), OPEN)
    host = docker_engine.api.inspect_container(resource.id)["HostConfig"]
    assert host["PidsLimit"] == 512
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["CapDrop"] == ["NET_RAW"]


async def test_an_image_is_not_had_by_its_id(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    """Any image that lies on this machine, whoever built it."""
    id = docker_engine.images.get(web_image).id
    for name in (id, id.removeprefix("sha256:")):
        with pytest.raises(InvalidConfig, match="is the id of an image"):
            await provider.apply(desire(installation_id, {"image": name, "pull": "never"}), OPEN)
    short = id.removeprefix("sha256:")[:12]
    with pytest.raises(NotAvailableYet, match=f"image {short} is not on this machine"):
        await provider.apply(desire(installation_id, {"image": short, "pull": "never"}), OPEN)
