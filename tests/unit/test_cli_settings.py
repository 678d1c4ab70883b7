"""Commands whose settings are bad, or where nothing runs: an exit code, and one line for what went wrong."""

import json

import pytest

from tests.unit.plain_server import Run, run

__all__ = ["run"]  # fixture


def test_no_control_plane_is_exit_3_and_says_what_to_do(run: Run) -> None:
    done = run("tenant", "list")
    assert done.exit_code == 3
    assert "landlord up" in done.stderr


def test_status_of_nothing_is_exit_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_PORT", "1")
    done = run("status", "-o", "json")
    assert done.exit_code == 3
    assert [part["state"] for part in json.loads(done.stdout)] == ["down", "down"]


def test_down_where_nothing_runs_is_success(run: Run) -> None:
    assert run("down").exit_code == 0


def test_a_bad_setting_is_one_line_and_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_PORT", "x")
    for command in (["up"], ["down"], ["status"], ["tenant", "list"], ["config", "show"]):
        done = run(*command)
        assert done.exit_code == 2
        assert "LANDLORD_PORT" in done.stderr
        assert done.stderr.count("\n") == 1


def test_config_shows_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    shown = run("config", "show").stdout
    assert "hush" not in shown
    assert "LANDLORD_TOKEN" in shown


def test_draining_where_nothing_runs_is_exit_3(run: Run) -> None:
    for arguments in (["drain"], ["drain", "--undo"]):
        done = run(*arguments)
        assert done.exit_code == 3
        assert "landlord up" in done.stderr


def test_a_token_goes_to_no_other_machine_in_clear(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    monkeypatch.setenv("LANDLORD_URL", "http://10.0.0.5:8000")
    done = run("tenant", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: LANDLORD_URL: http://10.0.0.5:8000 is not https")
    assert done.stderr.count("\n") == 1


def test_a_file_of_authorities_that_is_none_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "hush")
    monkeypatch.setenv("LANDLORD_URL", "https://landlord.test")
    # The option sets it for the process that the command is.
    monkeypatch.setenv("LANDLORD_CA", "")
    done = run("--ca", "/nowhere/ca.pem", "tenant", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: LANDLORD_CA: /nowhere/ca.pem cannot be read")
