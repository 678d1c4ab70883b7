"""Logins to registries, out of a secret's text."""

import base64
import json
import os
from pathlib import Path

import pytest

from controlplane.errors import NotAvailableYet, WaitsFor
from providers.compute.docker import login
from providers.compute.docker.login import Login

PASSWORD = "hunter2:with-a-colon"
CODED = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


def listed(**auths: object) -> str:
    return json.dumps({"auths": auths})


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its docker has a login for everything, which no tenant gets by a secret of its own."""
    auths = {name: {"auth": base64.b64encode(b"machine:secret").decode()} for name in ("r.example.com", "docker.io")}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "registry"),
    [
        (f"me:{PASSWORD}", "r.example.com"),
        (listed(**{"r.example.com": {"auth": CODED}}), "r.example.com"),
        (listed(**{"https://r.example.com/v2/": {"auth": CODED}}), "r.example.com"),
        (listed(**{"https://index.docker.io/v1/": {"auth": CODED}}), "docker.io"),
        (listed(**{"r.example.com:5000": {"username": "me", "password": PASSWORD}}), "r.example.com:5000"),
    ],
)
def test_a_login_is_a_pair_or_an_entry_of_a_config(text: str, registry: str) -> None:
    found = Login.of_tenant(text, registry)
    assert (found.fields["username"], found.fields["password"]) == ("me", PASSWORD)
    assert PASSWORD in found.hidden
    assert PASSWORD not in repr(found)


def test_an_identity_token_is_a_login() -> None:
    found = Login.of_tenant(listed(**{"r.example.com": {"identitytoken": PASSWORD}}), "r.example.com")
    assert dict(found.fields) == {"IdentityToken": PASSWORD}
    assert PASSWORD in found.hidden


@pytest.mark.parametrize(
    "text",
    [
        "",
        PASSWORD.partition(":")[0],
        ":password",
        "me:",
        "me:password\nyou:password",
        "{",
        "{}",
        '{"auths": []}',
        '{"auths": {}}',
        listed(**{"r.example.com": "me:password"}),
        listed(**{"r.example.com": {"auth": "no base64"}}),
        listed(**{"r.example.com": {}}),
        listed(**{"other.example.com": {"auth": CODED}}),
        '{"credsStore": "desktop", "credHelpers": {"r.example.com": "desktop"}}',
    ],
)
def test_a_secret_without_a_login_for_the_registry_may_still_get_one(text: str) -> None:
    with pytest.raises(NotAvailableYet, match="the secret of registry_auth cannot be used") as found:
        Login.of_tenant(text, "r.example.com")
    assert found.value.waits_for == WaitsFor.SECRET_MISSING
    assert "password" not in found.value.message.replace("USER:PASSWORD", "")


def test_the_login_of_this_machine_is_read_anew(tmp_path: Path) -> None:
    assert Login.of_machine("r.example.com").fields["username"] == "machine"
    (tmp_path / "config.json").write_text(listed(**{"r.example.com": {"auth": CODED}}))
    assert Login.of_machine("r.example.com").fields["username"] == "me"
    (tmp_path / "config.json").unlink()
    assert Login.of_machine("r.example.com") == Login()


def helper(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """docker-credential-suite, which docker's configuration names."""
    program = directory / "docker-credential-suite"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    (directory / "config.json").write_text(json.dumps({"credsStore": "suite"}))


@pytest.mark.parametrize(
    ("script", "fields"),
    [
        (
            'read server; echo "{\\"Username\\": \\"$1\\", \\"Secret\\": \\"for $server\\"}"',
            {"username": "get", "password": "for r.example.com", "serveraddress": "r.example.com"},
        ),
        (
            'echo \'{"Username": "<token>", "Secret": "abc"}\'',
            {"identitytoken": "abc", "serveraddress": "r.example.com"},
        ),
    ],
)
def test_a_helper_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, fields: dict[str, str]
) -> None:
    helper(tmp_path, monkeypatch, script)
    assert dict(Login.of_machine("r.example.com").fields) == fields


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'credentials not found in native keychain'; exit 1", ""),
        ("echo 'cannot open the keychain'; exit 3", "none: docker-credential-suite ended with 3"),
        ("exec sleep 600", "none: docker-credential-suite does not answer"),
        ("echo no json", "none: docker's configuration on the control plane's machine cannot be read"),
        ('echo \'{"Username": "", "Secret": ""}\'', ""),
    ],
)
def test_a_helper_without_a_login_holds_no_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    helper(tmp_path, monkeypatch, script)
    monkeypatch.setattr(login, "HELPER_SECONDS", 0.5)
    assert Login.of_machine("r.example.com") == Login({}, told)


def test_a_helper_that_is_not_installed_is_named_and_passed_over(tmp_path: Path) -> None:
    config = {"credsStore": "no-such-desktop", "auths": {"other.example.com": {"auth": CODED}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = Login.of_machine("r.example.com").told
    assert told == "none: docker-credential-no-such-desktop, which docker's configuration names, is not installed"
    assert Login.of_machine("other.example.com").fields["username"] == "me"
