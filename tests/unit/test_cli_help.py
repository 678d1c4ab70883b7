"""Each command's help has an example that the command itself takes."""

import re
import shlex
from typing import Any

import pytest

from tests.unit.test_docs_commands import ROOT_COMMAND, leaves, subcommands

LEAVES = sorted(leaves(ROOT_COMMAND))


def command_of(path: tuple[str, ...]) -> Any:
    found: Any = ROOT_COMMAND
    for word in path:
        found = subcommands(found)[word]
    return found


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_help_has_an_example_that_parses(path: tuple[str, ...]) -> None:
    command = command_of(path)
    found = re.search(r"^Example: (.+)$", command.help or "", re.M)
    assert found is not None, f"landlord {' '.join(path)} --help has no example"
    examples = [shlex.split(one) for one in found[1].split(", or ")]
    own = [words for words in examples if tuple(words[: len(path) + 1]) == ("landlord", *path)]
    assert own, f"the example is of another command: {found[1]}"
    for words in own:
        # Raises UsageError for what the command does not take.
        command.make_context(path[-1], words[len(path) + 1 :])


def test_an_example_that_does_not_parse_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        command_of(("tenant", "get")).make_context("get", ["acme", "--wait"])
