"""Decision records have number, date and status and are in the index; the changelog is one line an entry; the glossary
one word a line."""

import re
from itertools import pairwise
from pathlib import Path

from tests.pages import DOCS, ROOT, first_cells

RECORDS = sorted((DOCS / "decisions").glob("0*.md"))
_RECORD = re.compile(r"# (\d+)\. (.+)\n\n(\d{4}-\d\d-\d\d) · (accepted|replaced by \d+)\n\n")


def parts(record: Path) -> tuple[str, ...]:
    found = _RECORD.match(record.read_text())
    assert found is not None, record.name
    return found.groups()


def test_records_are_numbered_once_each_and_by_their_files() -> None:
    """A gap is a record that has not been merged yet."""
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == sorted(set(numbers))
    assert [int(parts(record)[0]) for record in RECORDS] == numbers


def test_the_index_has_a_line_for_each_record() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    lines = [
        f"| {n} | [{title}]({r.name}) | {date} | {status} |" for r in RECORDS for n, title, date, status in [parts(r)]
    ]
    assert [line for line in index.splitlines() if re.match(r"\| \d", line)] == lines


def test_the_changelog_is_one_line_an_entry_under_a_version_with_a_date() -> None:
    lines = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines()[5:] if line]
    odd = [line for line in lines if not line.startswith(("- ", "### "))]
    assert odd[0] == "## Unreleased"
    assert [line for line in odd[1:] if not re.fullmatch(r"## \d+\.\d+\.\d+ – \d{4}-\d\d-\d\d", line)] == []


def test_the_glossary_is_in_order_and_has_each_word_once() -> None:
    words = [cell.removesuffix(" !").strip("*").lower() for cell in first_cells((DOCS / "glossary.md").read_text())[1:]]
    assert len(words) > 60
    assert [(one, other) for one, other in pairwise(words) if one >= other] == []
