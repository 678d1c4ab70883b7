"""Contexts: kept for this person alone, chosen by name, and never with a token for another server."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controlplane.cli.main import app
from controlplane.client import connection
from controlplane.client.contexts import Context, Contexts, command_settings, contexts_path
from controlplane.errors import SettingsError
from controlplane.settings import Settings
from landlord_client import Client
from tests.unit.plain_server import Run

SECRET = "llt_" + "s" * 40
PROD = "https://landlord.test"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {"LANDLORD_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    # `--context` sets the variable, which is gone again after the test.
    for name, value in {**found, "LANDLORD_CONTEXT": ""}.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env=environ)

    return run


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Address and token of each client that a command makes; the call itself ends there."""
    made: list[tuple[str, str | None]] = []

    def of(settings: Settings) -> Client:
        made.append((settings.base_url, None if settings.token is None else settings.token.get_secret_value()))
        raise SettingsError("that is all")

    monkeypatch.setattr(connection, "client_of", of)
    return made


def add(run: Run, name: str = "prod", url: str = PROD) -> None:
    done = run("context", "add", name, "--url", url, "--token-file", "-", stdin=f"{SECRET}\n")
    assert done.exit_code == 0, done.output


def test_a_context_is_kept_in_a_file_that_only_its_owner_reads(run: Run, environ: dict[str, str]) -> None:
    add(run)
    path = contexts_path(environ)
    assert path == Path(environ["XDG_CONFIG_HOME"]) / "landlord" / "contexts.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o640)
    done = run("context", "list")
    assert (done.exit_code, "open to others" in done.stderr, SECRET in done.output) == (2, True, False)


def test_no_command_prints_the_token(run: Run) -> None:
    shown = []
    for words in (
        ["add", "prod", "--url", PROD, "--token-file", "-"],
        ["use", "prod"],
        ["list"],
        ["list", "-o", "json"],
    ):
        done = run("context", *words, stdin=SECRET)
        assert done.exit_code == 0, done.output
        shown.append(done.output)
    assert not any(SECRET in one for one in shown)
    only = {"name": "prod", "in_use": True, "url": PROD, "has_token": True, "ca": None}
    assert json.loads(shown[-1]) == [only]
    assert SECRET not in repr(Contexts.read(contexts_path()))


def test_the_context_in_use_is_called_until_it_is_removed(run: Run, called: list[tuple[str, str | None]]) -> None:
    add(run)
    run("tenant", "list")
    assert run("context", "use", "prod").stdout == "prod is in use\n"
    run("tenant", "list")
    run("context", "use")
    run("tenant", "list")
    run("context", "use", "prod")
    assert run("context", "remove", "prod").exit_code == 0
    run("tenant", "list")
    own = ("http://127.0.0.1:8000", None)
    assert called == [own, (PROD, SECRET), own, own]
    assert run("context", "list").stdout.startswith("no contexts")


def test_a_name_on_the_line_goes_before_the_one_in_use(run: Run, called: list[tuple[str, str | None]]) -> None:
    add(run)
    add(run, "test", "http://127.0.0.1:9000/")
    run("context", "use", "prod")
    run("--context", "test", "top", "--once")
    assert called == [("http://127.0.0.1:9000", SECRET)]


def test_what_the_environment_says_goes_before_the_context(environ: dict[str, str], tmp_path: Path) -> None:
    made = Context(url=PROD, token=SECRET, ca=tmp_path / "ca.pem")
    Contexts().having("prod", made).using("prod").write(contexts_path(environ))
    found = command_settings(environ)
    assert (found.base_url, found.token, found.ca) == (PROD, made.token, made.ca)
    found = command_settings({**environ, "LANDLORD_TOKEN": "mine", "LANDLORD_CA": "/mine.pem"})
    assert found.token is not None
    assert (found.base_url, found.token.get_secret_value(), found.ca) == (PROD, "mine", Path("/mine.pem"))


def test_another_address_never_gets_the_contexts_token(environ: dict[str, str]) -> None:
    Contexts().having("prod", Context(url=PROD, token=SECRET)).using("prod").write(contexts_path(environ))
    found = command_settings({**environ, "LANDLORD_URL": "https://other.test", "LANDLORD_CONTEXT": "prod"})
    assert (found.base_url, found.token, found.ca) == ("https://other.test", None, None)


def test_a_context_never_gets_the_homes_token(environ: dict[str, str], run: Run) -> None:
    Contexts().having("prod", Context(url=PROD)).using("prod").write(contexts_path(environ))
    home = Path(environ["LANDLORD_HOME"])
    home.mkdir()
    (home / "token").write_text("of-the-home")
    (home / "config.yaml").write_text("token: of-the-file\n")
    done = run("tenant", "list")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "the context prod has no token" in done.stderr


@pytest.mark.parametrize("command", ["up", "down", "status", "install", "drain", "backup", "restore", "config", "demo"])
def test_a_command_about_this_machine_takes_no_context(run: Run, command: str) -> None:
    add(run)
    done = run("--context", "prod", command)
    assert (done.exit_code, "is about this machine" in " ".join(done.stderr.split())) == (2, True)


def test_what_this_machine_runs_is_purged_whatever_is_in_use(run: Run, called: list[tuple[str, str | None]]) -> None:
    add(run)
    run("context", "use", "prod")
    run("down", "--purge")
    assert called == [("http://127.0.0.1:8000", None)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "http://10.0.0.5:8000"], "the token would go there in clear"),
        (["--url", "landlord.test"], "an address is http(s)"),
        (["--url", "https://user:word@landlord.test"], "without a user"),
        (["--url", PROD, "--token-file", "/nowhere/token"], "cannot be read"),
        (["--url", PROD, "--token-file", "-"], "does not hold one token"),
        (["--url", PROD, "--ca", "/nowhere/ca.pem"], "is not a file"),
    ],
)
def test_what_cannot_be_called_is_not_kept(run: Run, environ: dict[str, str], words: list[str], said: str) -> None:
    done = run("context", "add", "prod", *words, stdin="two words\n")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert not contexts_path(environ).exists()


def test_a_name_that_is_not_there_is_one_line_with_those_that_are(run: Run) -> None:
    add(run)
    for words in (["context", "use", "test"], ["context", "remove", "test"], ["--context", "test", "tenant", "list"]):
        done = run(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert "no context 'test'; there are: prod" in done.stderr


@pytest.mark.parametrize("content", ["[", "in_use: 3", "contexts: {prod: {url: x, tokn: llt_secret}}", "text"])
def test_a_file_that_is_not_ours_is_one_line_without_its_content(
    run: Run, environ: dict[str, str], content: str
) -> None:
    add(run)
    contexts_path(environ).write_text(content)
    done = run("tenant", "list")
    assert (done.exit_code, done.stderr.count("\n"), "llt_" in done.stderr) == (2, 1, False)
    assert "is not a file of contexts" in done.stderr
