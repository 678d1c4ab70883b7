"""What comes from a tenant or a platform moves no terminal."""

import re
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from controlplane.cli import console as consoles
from controlplane.cli.main import app
from controlplane.cli.output import coloured
from controlplane.text import visible
from landlord_client import Client

HOSTILE = "a\x1b]0;owned\x07b\x1b[2J\x1b[1;1Hc\x9b31md\re\x08\u202ef"


def printed(*objects: object, terminal: bool = True) -> str:
    file = StringIO()
    console = consoles.console(file=file, force_terminal=terminal, width=200, color_system=None)
    console.print(*objects, markup=False)
    return file.getvalue()


def test_texts_and_cells_are_shown_without_their_escapes() -> None:
    table = Table("name")
    table.add_row(Text(HOSTILE))
    for shown in (printed(HOSTILE), printed(Text(HOSTILE, style="red")), printed(table)):
        assert "bc" in shown
        assert "f" in shown
        assert not set(shown) & set("\x1b\x07\x9b\r\x08\u202e")


def test_our_own_styles_stay() -> None:
    file = StringIO()
    console = consoles.console(file=file, force_terminal=True, color_system="standard")
    console.print("[red]red[/red]\ttab\nline")
    assert "\x1b[31m" in file.getvalue()
    assert visible("a\tb\nc") == "a\tb\nc"


def test_a_pipe_gets_the_text_as_it_is() -> None:
    assert printed("a\x1b[31mb", terminal=False) == "a\x1b[31mb\n"


@pytest.mark.parametrize(("terminal", "shown"), [(True, "abcdef\n"), (False, f"{HOSTILE}\n")])
def test_logs(terminal: bool, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDLORD_TOKEN", "t" * 32)
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: terminal))
    monkeypatch.setattr(Client, "tenant_logs", lambda *_, **__: f"{HOSTILE}\n")
    result = CliRunner().invoke(app, ["tenant", "logs", "acme"])
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.decode() == shown


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    def styled() -> str:
        file = StringIO()
        made = consoles.console(file=file, force_terminal=True, width=80, color_system="standard")
        made.print(coloured(("name", "status"), [("acme", "failed")]))
        return file.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31mfailed" in styled()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "failed" in styled()
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]m", styled())


def test_progress_in_a_pipe_says_the_time_with_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    file, now = StringIO(), iter([0.0, 0.2, 12.4, 13.0])
    monkeypatch.setattr(consoles, "errors", consoles.console(file=file))
    shown = consoles.Progress(None, timed=True, clock=lambda: next(now))
    for text in ("acme: requested", "acme: requested", "acme: provisioning (plan running)"):
        shown.say(text)
    assert file.getvalue() == "acme: requested\nacme: provisioning (plan running), 12 s\n"


def test_progress_on_a_terminal_has_text_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    file = StringIO()
    monkeypatch.setattr(consoles, "errors", consoles.console(file=file, force_terminal=True, width=80))
    with consoles.progress(HOSTILE) as shown:
        shown.say("acme: provisioning [plan] (apply_compute running)")
    # It is drawn a last time at the end.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "0:00:00 acme: provisioning [plan] (apply_compute running)" in plain
    assert "\x1b]0;" not in file.getvalue()
