"""The page of what people may have says what the list of tests says (`test_docs_links.py` looks for each test)."""

from tests.having import as_markdown
from tests.pages import DOCS


def test_the_page_is_the_list() -> None:
    assert (DOCS / "as-you-have-it.md").read_text() == as_markdown()
