"""Environment beats file beats default, and what is wrong is named in one line."""

import os
from pathlib import Path

import pytest

from controlplane.errors import SettingsError
from controlplane.settings import load_settings
from providers.compute.process.provider import ProcessCompute


def environ(home: Path, **variables: str) -> dict[str, str]:
    return {"LANDLORD_HOME": str(home), **variables}


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings(environ(tmp_path))
    assert settings.home == tmp_path
    assert settings.port == 8000
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.idle_seconds == 60


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("port: 8100\nsweep_seconds: 3\n")
    settings = load_settings(environ(tmp_path, LANDLORD_PORT="8200"))
    assert (settings.port, settings.sweep_seconds) == (8200, 3)


def test_an_empty_variable_is_no_variable(tmp_path: Path) -> None:
    assert load_settings(environ(tmp_path, LANDLORD_PORT="")).port == 8000


def test_lists_and_words(tmp_path: Path) -> None:
    given = environ(tmp_path, LANDLORD_COMPUTE_PROVIDERS=" process, docker ,", LANDLORD_ACTOR_IDLE_SECONDS="never")
    settings = load_settings(given)
    assert settings.compute_providers == ("process", "docker")
    assert settings.idle_seconds is None


def test_secrets_of_tenants_and_our_own_variables_are_no_settings(tmp_path: Path) -> None:
    load_settings(environ(tmp_path, LANDLORD_SECRET_X="1", LANDLORD_INTERNAL_Y="2"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANDLORD_PORTT", "1"),
        ("LANDLORD_PORT", "many"),
        ("LANDLORD_PORT", "0"),
        ("LANDLORD_SWEEP_SECONDS", "-1"),
        ("LANDLORD_PROCESS_ROLE", "viewer"),
        ("LANDLORD_ADMIN_TOKEN", "a"),
        ("LANDLORD_ADMIN_TOKEN", "31-characters-are-one-too-few-."),
        ("LANDLORD_ADMIN_TOKEN", "32 characters, and then some more of them"),
        ("LANDLORD_PROCESS_UIDS", "nobody"),
        ("LANDLORD_PROCESS_UIDS", "200000"),
        ("LANDLORD_PROCESS_UNSAFE", "perhaps"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings(environ(tmp_path, **{name: value}))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", ["porrt: 1", "port: many", "home: /x", "- 1", "a: [", "port"])
def test_a_wrong_file_is_named_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(SettingsError, match=r"config\.yaml") as caught:
        load_settings(environ(tmp_path))
    assert "\n" not in caught.value.message


def test_secrets_are_masked(tmp_path: Path) -> None:
    given = environ(
        tmp_path,
        LANDLORD_TOKEN="hush",
        LANDLORD_ADMIN_TOKEN="hush" * 8,
        LANDLORD_DATABASE_URL="postgresql://u:hush@h/d",
        LANDLORD_NODE_ADDRESS="10.0.0.1",
        LANDLORD_RAY_REDIS="redis://u:hush@h:6379",
    )
    settings = load_settings(given)
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.masked())
    assert settings.masked()["token"] == "**********"


def test_a_setting_that_is_gone_stops_the_start_with_what_is_there_instead(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LANDLORD_PROCESS_USER is no longer a setting: .* LANDLORD_PROCESS_UIDS"):
        load_settings(environ(tmp_path, LANDLORD_PROCESS_USER="nobody"))
    (tmp_path / "config.yaml").write_text("process_user: nobody\n")
    with pytest.raises(SettingsError, match=r"process_user in .* is no longer a setting: .* LANDLORD_PROCESS_UIDS"):
        load_settings(environ(tmp_path))


def test_a_setting_under_its_old_name_stops_the_start_with_the_new_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_LOST_ENGINES is now called LANDLORD_LOST_PLATFORMS"):
        load_settings(environ(tmp_path, LANDLORD_LOST_ENGINES="one"))
    (tmp_path / "config.yaml").write_text("lost_engines: one\n")
    with pytest.raises(SettingsError, match=r"lost_engines in .* is now called lost_platforms"):
        load_settings(environ(tmp_path))


def test_a_role_below_admin_takes_accounts_for_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them a `process` tenant can do all that the control plane can, so creating one is for admins."""
    unsafe = {"LANDLORD_PROCESS_UNSAFE": "true"}
    operator = {"LANDLORD_PROCESS_ROLE": "operator"}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SettingsError, match=r"LANDLORD_PROCESS_ROLE: .* only `admin` may create one"):
        load_settings(environ(tmp_path, **unsafe, **operator))
    assert load_settings(environ(tmp_path, **unsafe)).process_role == "admin"
    assert load_settings(environ(tmp_path, **operator)).process_role == "operator", "`process` is not enabled then"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_settings(environ(tmp_path, **unsafe, **operator)).process_role == "operator"


def test_the_process_provider_refuses_that_role_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever builds it from settings that nobody has read together."""
    settings = load_settings(environ(tmp_path, LANDLORD_PROCESS_UNSAFE="true"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ProcessCompute.build(settings)
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_ROLE"):
        ProcessCompute.build(settings.model_copy(update={"process_role": "operator"}))


def test_a_store_of_the_head_is_for_several_machines(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_RAY_REDIS goes with LANDLORD_NODE_ADDRESS"):
        load_settings(environ(tmp_path, LANDLORD_RAY_REDIS="redis://h:6379"))


def test_other_machines_need_a_database_that_they_reach() -> None:
    settings = load_settings({"LANDLORD_NODE_ADDRESS": "10.0.0.1", "LANDLORD_DATABASE_URL": "postgresql://db/landlord"})
    assert not settings.alone
    assert settings.nodes_tls
    assert load_settings({}).alone
    assert not load_settings({}).nodes_tls
    with pytest.raises(SettingsError, match="LANDLORD_DATABASE_URL"):
        load_settings({"LANDLORD_NODE_ADDRESS": "10.0.0.1"})


@pytest.mark.parametrize("wrong", ["0.0.0.0", "machine-1", "::1", "224.0.0.1", "10.0.0"])
def test_the_address_of_a_node_is_one_of_a_machine(wrong: str) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_NODE_ADDRESS"):
        load_settings({"LANDLORD_NODE_ADDRESS": wrong, "LANDLORD_DATABASE_URL": "postgresql://db/landlord"})
