"""`landlord support-bundle`: all that helps is in it, and no secret is."""

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from controlplane.cli.main import app
from controlplane.client import connection
from controlplane.local.bundle import LONGEST_LOG, Bundle, secrets_by_length, tail
from landlord_client import Client

PLANTED = {
    "admin": "planted-admin-token-0123456789abcdef",
    "ray": "planted-ray-token-0123456789abcdef",
    "database": "planted/pass word%",
    "restate": "planted-restate-token-0123456789abcdef",
    "tenant": "planted-tenant-secret",
    "file": "planted-config-secret-0123456789abcdef",
    "environment": "planted-variable-secret",
    "form": "planted-form-secret",
    "named": "planted-named-secret",
}


KNOWN = [one for one in PLANTED if one not in ("form", "named")]
"""What only its value gives away."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which secrets stand wherever somebody could have put them, logs included."""
    url = "postgresql://landlord:planted%2Fpass%20word%25@db.test/landlord"
    for name in [name for name in os.environ if name.startswith("LANDLORD_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "LANDLORD_HOME": str(tmp_path),
        "LANDLORD_DATABASE_URL": url,
        "LANDLORD_RESTATE_TOKEN": PLANTED["restate"],
        "AWS_SECRET_ACCESS_KEY": PLANTED["environment"],
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "token").write_text(f"{PLANTED['admin']}\n")
    (tmp_path / "token.header").write_text(f"Authorization: Bearer {PLANTED['admin']}\n")
    (tmp_path / "ray-token").write_text(PLANTED["ray"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"admin_token": PLANTED["file"]}))
    (tmp_path / "config.yaml").chmod(0o600)
    (tmp_path / "secrets" / "acme").mkdir(parents=True)
    (tmp_path / "secrets" / "acme" / "api").write_text(PLANTED["tenant"])
    session = tmp_path / "ray" / "t" / "session_latest" / "logs"
    session.mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    leaked = "\n".join(
        [
            json.dumps({"message": f"connected to {url}"}),
            *(json.dumps({"message": f"somebody wrote {PLANTED[one]} here"}) for one in KNOWN),
            f"Authorization: Bearer {PLANTED['form']}-0123456789",
            f"started with --password {PLANTED['named']} and DB_PASSWORD={PLANTED['named']}",
            "a line that helps",
        ]
    )
    (tmp_path / "logs" / "api.log").write_text(leaked)
    (tmp_path / "logs" / "actors.log.1").write_text(leaked)
    (session / "raylet.out").write_text(leaked)
    return tmp_path


def answers(request: httpx.Request) -> httpx.Response:
    leaking: dict[str, Any] = {
        "/v1/admin/consistency": {"differences": [{"kind": "orphan", "detail": f"made with {PLANTED['tenant']}"}]},
        "/v1/providers": {"compute": [], "workflow": []},
        "/v1/events": {"items": [{"id": 1, "message": PLANTED["admin"]}], "next_cursor": None},
    }
    if request.url.path == "/metrics":
        return httpx.Response(200, text='landlord_sweep_stage_seconds{stage="due"} 0.1\n')
    if request.url.path == "/v1/tenants":
        env = {"compute": {"config": {"env": {"COLOUR": "planted-in-a-spec"}}}}
        one = {"id": "i", "name": "acme", "status": "ready", "spec": env, "labels": {"a": "planted-in-a-label"}}
        return httpx.Response(200, json={"items": [one], "next_cursor": None})
    return httpx.Response(200, json=leaking[request.url.path])


def made(home: Path) -> dict[str, str]:
    """The texts of a bundle by their names."""
    path = home / "bundle.tar.gz"
    done = CliRunner().invoke(app, ["support-bundle", str(path)])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        return {entry.name: tar.extractfile(entry).read().decode() for entry in tar}  # type: ignore[union-attr]


def leaks(texts: dict[str, str]) -> list[tuple[str, str]]:
    forms = {*PLANTED.values(), "planted%2Fpass%20word%25", "planted-in-a-spec", "planted-in-a-label"}
    return [(name, form) for name, text in texts.items() for form in forms if form in text]


def test_all_that_helps_is_in_it_and_no_secret_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def client_of(_: object) -> Client:
        return Client("https://landlord.test", "t", transport=httpx.MockTransport(answers))

    monkeypatch.setattr(connection, "client_of", client_of)
    texts = made(home)
    assert set(texts) == {
        *("README.txt", "versions.json", "settings.json", "status.json", "doctor.json", "metrics.txt"),
        *("providers.json", "tenants.json", "events.json"),
        *("logs/api.log", "logs/actors.log.1", "ray/raylet.out"),
    }
    assert leaks(texts) == []
    assert "planted" not in "".join(texts.values())
    assert "a line that helps" in texts["logs/api.log"]
    assert "landlord_sweep_stage_seconds" in texts["metrics.txt"]
    assert json.loads(texts["doctor.json"])["differences"][0]["kind"] == "orphan"
    assert json.loads(texts["tenants.json"]) == [{"id": "i", "name": "acme", "status": "ready"}]
    assert json.loads(texts["versions.json"])["packages"]["ray"]
    assert set(json.loads(texts["settings.json"])["database_url"]) == {"*"}


def test_a_control_plane_that_is_down_is_said_in_its_place(home: Path) -> None:
    texts = made(home)
    assert "no control plane answers" in json.loads(texts["doctor.json"])["error"]
    assert "a line that helps" in texts["logs/api.log"]
    assert leaks(texts) == []


def test_another_file_is_not_overwritten(home: Path) -> None:
    (home / "bundle.tar.gz").write_text("mine")
    done = CliRunner().invoke(app, ["support-bundle", str(home / "bundle.tar.gz")])
    assert done.exit_code == 2
    assert (home / "bundle.tar.gz").read_text() == "mine"


def test_a_short_value_takes_no_word_apart_and_a_long_one_leaves_no_part() -> None:
    assert secrets_by_length(["on", "secret", "secret-and-more"]) == ["secret-and-more", "secret"]


def test_a_long_log_is_cut_at_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_text("first\n" + "x" * 99 + "\n" + ("y" * 99 + "\n") * (LONGEST_LOG // 100))
    text = tail(path)
    assert "first" not in text
    assert text.startswith("y" * 99)
    assert len(text) <= LONGEST_LOG
    with Bundle(tmp_path / "b.tar.gz", []) as bundle:
        bundle.put("a", text)
