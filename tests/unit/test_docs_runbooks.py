"""The runbooks: an entry for each word that asks for an operator, and for no other; its commands are real."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import pytest
import typer
import yaml

from controlplane.api.problem import CODES
from controlplane.api.schemas.installation import DifferenceOut, NoteOut
from controlplane.cli.main import app
from controlplane.model import Reason
from tests.pages import DOCS, ROOT, section, spans

PAGE = DOCS / "runbooks.md"
KINDS: tuple[str, ...] = get_args(DifferenceOut.model_fields["kind"].annotation)
NOTES: tuple[str, ...] = get_args(NoteOut.model_fields["kind"].annotation)
ALERTS = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())["groups"][0]["rules"]
CHAPTERS: Mapping[str, Iterable[str]] = {
    "Alerts": [alert["alert"] for alert in ALERTS],
    "What doctor names": (*KINDS, *NOTES),
    "Reasons of conditions": [reason.value for reason in Reason],
    "Problem codes": CODES,
}
PARTS = ("Means", "Look", "Do")
COMMANDS = sorted({span for span in spans(PAGE) if span.startswith("landlord ")})


def entries(chapter: str) -> list[tuple[str, str]]:
    """Word and text of each entry."""
    found = re.split(r"^### `(\w+)`$", section(PAGE, f"## {chapter}"), flags=re.M)[1:]
    return list(zip(found[::2], found[1::2], strict=True))


def parsed(line: str) -> None:
    """Raises the command's own usage error."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    path = "landlord"
    while hasattr(command, "commands"):
        path = words.pop(0)
        command = command.commands[path]
    command.make_context(path, words)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_word_has_its_entry_and_no_other_has_one(chapter: str) -> None:
    assert sorted(word for word, _ in entries(chapter)) == sorted(CHAPTERS[chapter])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_entry_says_what_it_means_what_to_look_at_and_what_to_do(chapter: str) -> None:
    for word, text in entries(chapter):
        assert tuple(re.findall(r"^- \*\*(\w+)\*\*: \S", text, re.M)) == PARTS, word


def test_a_word_is_one_anchor() -> None:
    words = [word.lower() for words in CHAPTERS.values() for word in words]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_line_is_one_that_the_command_takes(line: str) -> None:
    parsed(line)


@pytest.mark.parametrize(
    "line", ["landlord dig", "landlord tenant redeploy", "landlord doctor --deep", "landlord up NAME"]
)
def test_other_command_lines_are_found_out(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)dig|missing|no such|unexpected"):
        parsed(line)


def test_doctor_names_the_kinds_that_the_api_promises() -> None:
    code = (ROOT / "controlplane" / "api" / "consistency.py").read_text()
    assert set(re.findall(r'\bDifference\(\s*"(\w+)"', code)) == set(KINDS)
    assert set(re.findall(r'\bNote\(\s*"(\w+)"', code)) == set(NOTES)
