"""What the tests of commands share: a server of plain functions, and the command line that asks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from controlplane.cli.main import app
from controlplane.client import connection
from controlplane.settings import Settings
from landlord_client import Client

Run = Callable[..., Result]


def tenant(status: str = "ready", state: str = "succeeded", error: str | None = None) -> dict[str, Any]:
    return {
        "id": "0190-id",
        "name": "acme",
        "status": status,
        "status_message": "",
        "generation": 2,
        "conditions": [],
        "spec": {"compute": {"provider": "docker", "config": {}}},
        "observed": {"endpoints": [{"name": "http", "url": "http://127.0.0.1:32768"}]},
        "workflow_execution_id": "tenant-acme-update-2-9f8e7d6c",
        "workflow": {"provider": "embedded", "state": state, "error": error},
        "paused": False,
    }


class Server:
    """Answers by method and path; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], httpx.Response] = {}
        """A path may be asked again: the answer stays."""
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answers[request.method, request.url.path]

    @property
    def body(self) -> Any:
        return json.loads(self.asked[0].content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    def of(settings: Settings) -> Client:
        return Client(settings.base_url, "secret", transport=httpx.MockTransport(server), sleep=lambda _: None)

    monkeypatch.setattr(connection, "client_of", of)
    return server


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        # The contexts of the person who runs the tests are not theirs.
        environ = {"LANDLORD_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        return CliRunner().invoke(app, list(arguments), input=stdin, env=environ)

    return run


def sent(request: httpx.Request) -> tuple[str, str, Any]:
    return request.method, request.url.path, json.loads(request.content) if request.content else None
