"""The page on events and the words of the code are equal, each way; so is the OpenAPI document, and none is unused."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from controlplane.api.app import bare_app
from controlplane.model import ENDED, ConditionType, EventType, Reason, StepName

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text()
CHAPTERS: dict[str, type[StrEnum]] = {
    "Events": EventType,
    "Conditions": ConditionType,
    "Reasons": Reason,
    "Steps": StepName,
}


def rows(chapter: str) -> list[list[str]]:
    """The cells of each row whose first cell is a word of code."""
    text = PAGE.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_page_says_of_each_word_what_it_means_and_of_no_other(chapter: str) -> None:
    found = rows(chapter)
    assert sorted(row[0] for row in found) == sorted(f"`{word}`" for word in CHAPTERS[chapter])
    assert all(cell for row in found for cell in row)


def test_the_page_says_of_each_reason_which_condition_it_is_of() -> None:
    conditions = {f"`{word}`" for word in ConditionType}
    assert {row[1] for row in rows("Reasons")} == conditions


@pytest.mark.parametrize("words", [EventType, ConditionType, Reason])
def test_each_word_is_written_by_the_code(words: type[StrEnum]) -> None:
    code = "\n".join(
        path.read_text()
        for package in ("controlplane", "actors")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "trail.py"
    )
    used = set(re.findall(rf"\b{words.__name__}\.([A-Z_]+)\b", code))
    assert {word.name for word in words} == used | {word.name for word in ENDED.values() if words is EventType}


@pytest.mark.parametrize(
    ("schema", "member", "words"),
    [
        ("EventOut", "type", EventType),
        ("WatchEvent", "type", EventType),
        ("ConditionOut", "type", ConditionType),
        ("ConditionOut", "reason", Reason),
        ("StepOut", "name", StepName),
    ],
)
def test_the_openapi_document_lists_the_words_and_refuses_no_later_one(
    schema: str, member: str, words: type[StrEnum]
) -> None:
    shown: dict[str, Any] = bare_app().openapi()["components"]["schemas"][schema]["properties"][member]
    assert (shown["type"], shown["examples"]) == ("string", [word.value for word in words])
    assert "enum" not in shown


def test_examples_of_the_openapi_document_use_words_that_exist() -> None:
    text = json.dumps(bare_app().openapi())
    assert set(re.findall(r'"reason": "(\w+)"', text)) <= set(Reason)
