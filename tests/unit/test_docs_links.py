"""Links, anchors and names of files and functions: each leads somewhere."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.pages import DOCS, IDS, PAGES, ROOT, anchors, first_cells, has, prose, section, spans

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FUNCTION = re.compile(r"([\w./-]+\.py):([\w.]+)")
_FILE = re.compile(r"(?:controlplane|providers|actors|tests|docs|deploy|examples|benchmarks)/[\w./-]*\w/?")
_TEST = re.compile(r"(?:test_|Test)\w+…?")
OUTSIDE = ("DESIG[N]", "API[.]md", "FACT[S]", "\u00a7")
"""What would refer to notes that no reader has; written so that these lines are not found themselves."""


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_link_and_anchor_leads_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(prose(page)):
        if ":" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if there.is_dir():
            there = there / "README.md"
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_function_that_a_page_names_exists(page: Path) -> None:
    gone = [span for span in spans(page) if (found := _FUNCTION.fullmatch(span)) and not _exists(*found.groups())]
    assert gone == []


def _exists(path: str, name: str) -> bool:
    return (ROOT / path).is_file() and has(ast.parse((ROOT / path).read_text()).body, name)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_file_that_a_page_names_exists(page: Path) -> None:
    assert [span for span in spans(page) if _FILE.fullmatch(span) and not (ROOT / span).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_each_test_that_a_page_names_exists(page: Path, names_of_tests: str) -> None:
    """Some pages name classes by the beginning that they share, and three dots."""
    named = {span for span in spans(page) if _TEST.fullmatch(span)}
    patterns = {name: re.compile(rf"^{name.rstrip('…')}{'' if name.endswith('…') else '$'}", re.M) for name in named}
    assert [name for name, pattern in sorted(patterns.items()) if not pattern.search(names_of_tests)] == []


@pytest.fixture(scope="module")
def names_of_tests() -> str:
    texts = (path.read_text() for part in ("tests", "providers") for path in sorted((ROOT / part).rglob("*.py")))
    return "\n".join(name for text in texts for name in re.findall(r"(?:def|class) (\w+)", text))


def test_the_trace_of_a_post_has_fifteen_steps_each_with_its_function() -> None:
    rows = section(DOCS / "architecture.md", "## Where a POST goes")
    assert first_cells(rows) == ["#", *[str(number) for number in range(1, 16)]]
    steps = [line for line in rows.splitlines() if re.match(r"\| \d", line)]
    assert [line for line in steps if not _FUNCTION.search(line.split("|")[3])] == []


def test_nothing_refers_to_pages_outside_of_the_repository() -> None:
    search = ["git", "grep", "-nE", "|".join(OUTSIDE), "--", ".", ":!LICENSE"]
    found = subprocess.run(search, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("", "")
