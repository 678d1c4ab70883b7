"""What comes from a tenant or a platform moves no terminal."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from controlplane.cli import console as consoles
from controlplane.cli.main import app
from controlplane.client import Client
from controlplane.text import visible

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
