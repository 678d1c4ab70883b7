"""What the shell completes: names of tenants, within a second, and without a word if there is no control plane."""

import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from controlplane.cli import completion
from controlplane.cli.main import app
from controlplane.client import connection
from controlplane.client.contexts import Context, Contexts, contexts_path
from landlord_client import Client
from tests.unit.plain_server import Server, server, tenant  # noqa: F401


def completed(line: str, home: Path) -> tuple[list[str], str]:
    """What a bash that completes this line is told, and what it sees besides."""
    asked = {"_LANDLORD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    environ = {**asked, "LANDLORD_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    done = CliRunner().invoke(app, [], env=environ, prog_name="landlord")
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    "command", ["tenant get", "tenant delete", "tenant watch", "execution list", "events", "pause"]
)
def test_names_of_tenants(server: Server, tmp_path: Path, command: str) -> None:  # noqa: F811
    page = {"items": [tenant() | {"name": name} for name in ("acme", "acorn")], "next_cursor": None}
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json=page)
    assert completed(f"landlord {command} ac", tmp_path) == (["acme", "acorn"], "")
    assert server.asked[0].url.params["name_prefix"] == "ac"


def test_without_a_control_plane_nothing_is_said(tmp_path: Path) -> None:
    assert completed("landlord tenant get ac", tmp_path) == ([], "")


def test_a_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def of(settings: object) -> Client:
        def silent(request: httpx.Request) -> httpx.Response:
            time.sleep(30)
            return httpx.Response(500)

        return Client("https://landlord.test", "secret", transport=httpx.MockTransport(silent))

    monkeypatch.setattr(connection, "client_of", of)
    start = time.monotonic()
    assert completed("landlord tenant get ac", tmp_path) == ([], "")
    passed = time.monotonic() - start
    assert completion.PATIENCE_SECONDS <= passed < 15


def test_names_of_contexts(tmp_path: Path) -> None:
    found = Contexts().having("prod", Context(url="https://a.test")).having("test", Context(url="https://b.test"))
    found.write(contexts_path({"XDG_CONFIG_HOME": str(tmp_path)}))
    for line in ("landlord context use p", "landlord context remove p", "landlord --context p"):
        assert completed(line, tmp_path) == (["prod"], "")


def test_tenants_are_those_of_the_context_on_the_line(
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    page = {"items": [tenant()], "next_cursor": None}
    server.answers["GET", "/v1/tenants"] = httpx.Response(200, json=page)
    made = Context.model_validate({"url": "https://a.test", "token": "t"})
    Contexts().having("prod", made).write(contexts_path({"XDG_CONFIG_HOME": str(tmp_path)}))
    assert completed("landlord --context prod tenant get a", tmp_path) == (["acme"], "")
    assert server.asked[0].url.host == "a.test"
