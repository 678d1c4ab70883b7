"""Servers as people have them, on loopback: one speaks only TLS, one checks `Host`, one wants a login."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from controlplane.model import Endpoint, HealthSpec
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from controlplane.steps.probe import HealthProber

NAME = "acme.example.com"


class Names:
    """A server's TLS with a self-signed certificate for no name that anybody reaches it by, and the names that clients
    asked it for."""

    def __init__(self, directory: Path) -> None:
        make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=nobody -keyout key.pem -out server.pem"
        subprocess.run(
            make.split(),
            cwd=directory,
            capture_output=True,
            check=True,
        )
        self.asked: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "server.pem", directory / "key.pem")
        self.context.sni_callback = self._called

    def _called(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self.asked.append(name)


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(tmp_path)


@asynccontextmanager
async def serving(answer: Callable[[str], int], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that answers each request's header with a status."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(f"HTTP/1.1 {answer(header)} Answer\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def probe(port: int, **http: Any) -> ProbeResult:
    origin = Origin("test", "acme", uuid4(), 1, 1, "tenant-acme-provision-1-00000000", "0" * 16)
    endpoint = Endpoint("http", f"http://127.0.0.1:{port}", 8080)
    resource = Resource("id", "landlord-acme", origin, ResourceState.RUNNING, endpoints=(endpoint,))
    prober = HealthProber()
    try:
        return await prober.probe(resource, HealthSpec.model_validate({"http": http, "timeout_seconds": 20}))
    finally:
        await prober.close()


def checks_host(header: str) -> int:
    lines = header.splitlines()
    return 200 if [line for line in lines if line.lower().startswith("host:")] == [f"Host: {NAME}"] else 400


async def test_a_server_that_checks_host_is_well_once_the_spec_names_it() -> None:
    async with serving(checks_host) as port:
        assert (await probe(port)).healthy is False
        assert (await probe(port, host=NAME)).healthy is True


async def test_a_server_that_speaks_only_tls_with_a_certificate_of_its_own(names: Names) -> None:
    async with serving(checks_host, names.context) as port:
        assert (await probe(port, host=NAME)).healthy is False
        result = await probe(port, scheme="https", host=NAME)
    assert result == ProbeResult(True, f"GET https://127.0.0.1:{port}/ answered 200")
    assert names.asked == [NAME]


async def test_a_server_that_wants_a_login_is_well_by_the_login_or_by_its_refusal() -> None:
    def wants_login(header: str) -> int:
        return 200 if "authorization: Bearer letmein" in header.replace("Authorization", "authorization") else 401

    async with serving(wants_login) as port:
        assert (await probe(port)).healthy is False
        assert (await probe(port, expect=[401])).healthy is True
        assert (await probe(port, headers={"Authorization": "Bearer letmein"})).healthy is True
        assert (await probe(port, headers={"Authorization": "Bearer letmein"}, expect=[401])).healthy is False
