"""Documents that are printed from code are what the code prints."""

from pathlib import Path

from controlplane.transitions import as_markdown

DOCS = Path(__file__).parents[2] / "docs"


def test_the_lifecycle_page_shows_the_table_that_the_code_has() -> None:
    page = (DOCS / "lifecycle.md").read_text()
    printed = page.split("<!-- transitions -->\n")[1].split("<!-- /transitions -->")[0]
    assert printed == as_markdown()
