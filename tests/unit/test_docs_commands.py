"""Each command is documented, and each documented one exists."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer

from controlplane.cli.exit_codes import HELP
from controlplane.cli.main import app
from tests.pages import IDS, PAGES, ROOT, section, spans

ROOT_COMMAND = typer.main.get_command(app)
_WORD = re.compile(r"[a-z][a-z|\\-]*")


def subcommands(command: Any) -> dict[str, Any]:
    """Subcommands; a command that is no group has none."""
    return getattr(command, "commands", {})


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not subcommands(command):
        yield path
    for name, one in subcommands(command).items():
        yield from leaves(one, (*path, name))


def told(line: str) -> Iterator[tuple[str, ...]]:
    """`landlord tenant create\\|list NAME` → (tenant, create), (tenant, list)."""
    words = []
    for word in line.removeprefix("landlord ").split():
        if _WORD.fullmatch(word) is None:
            break
        words.append(word.replace("\\", "").split("|"))
    yield from product(*words)


def resolved(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """The command that the words begin with; what follows it is its arguments. None: there is no such command."""
    command = ROOT_COMMAND
    for number, word in enumerate(words):
        if not subcommands(command):
            return words[:number]
        if word not in subcommands(command):
            return None
        command = subcommands(command)[word]
    return words


def lines_of(page: Path) -> Iterator[str]:
    yield from (span for span in spans(page) if span.startswith("landlord "))
    for fence in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S):
        yield from (line for line in fence.splitlines() if line.startswith("landlord "))


def test_each_command_has_its_row_in_the_readme() -> None:
    rows = [line for line in section(ROOT / "README.md", "## The command").splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\)\|", row)[1].strip(" `") for row in rows]
    documented = {words for cell in cells for words in told(cell)}
    there = set(leaves(ROOT_COMMAND))
    assert len(there) > 20
    assert there - documented == set()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_command_that_a_page_names_exists(page: Path) -> None:
    unknown = [line for line in lines_of(page) for words in told(line) if resolved(words) is None]
    assert unknown == []


def options(words: tuple[str, ...]) -> set[str]:
    """Of a command and of the groups that it is in."""
    command, found = ROOT_COMMAND, {"--help"}
    for word in ("", *words):
        command = subcommands(command)[word] if word else command
        found |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return found | {"--install-completion"}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_option_that_a_page_names_is_one_of_its_command(page: Path) -> None:
    unknown = []
    for line in lines_of(page):
        mine = re.split(r"&&|\||#", line.replace("\\|", " "))[0]
        for words in told(mine):
            there = options(resolved(words) or ())
            unknown += [(line, word) for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", mine) if word not in there]
    assert unknown == []


def test_the_readme_tells_the_exit_codes_as_the_command_does() -> None:
    assert HELP in " ".join((ROOT / "README.md").read_text().split())
