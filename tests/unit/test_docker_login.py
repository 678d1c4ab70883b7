"""Logins to registries, out of a secret's text."""

import base64
import json
from pathlib import Path

import pytest

from controlplane.errors import NotAvailableYet, WaitsFor
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
    login = Login.of_tenant(text, registry)
    assert (login.fields["username"], login.fields["password"]) == ("me", PASSWORD)
    assert PASSWORD in login.hidden
    assert PASSWORD not in repr(login)


def test_an_identity_token_is_a_login() -> None:
    login = Login.of_tenant(listed(**{"r.example.com": {"identitytoken": PASSWORD}}), "r.example.com")
    assert dict(login.fields) == {"IdentityToken": PASSWORD}
    assert PASSWORD in login.hidden


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
