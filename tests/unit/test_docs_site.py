"""The site is built without a warning, and a browser that shows it asks no other server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT

_ASKED = re.compile(
    r"""<(?:script|link|img|iframe|source|object|embed|video|audio)\b[^>]*?(?:src|href|data)=["']?([^"'> ]+)"""
)
_ABROAD = re.compile(r"(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    there = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(there)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return there


def test_each_page_has_what_it_loads_on_the_site_itself(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for asked in _ASKED.findall(page.read_text()):
            if asked.startswith(("data:", "#")):
                continue
            assert not _ABROAD.match(asked), f"{page}: {asked}"
            path = asked.split("?")[0].split("#")[0]
            base = site if page.name == "404.html" else page.parent
            there = (site / path.lstrip("/")) if path.startswith("/") else (base / path)
            assert there.resolve().exists(), f"{page}: {asked}"


def test_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    for style in site.rglob("*.css"):
        assert re.findall(r"""(?:url\(["']?|@import\s+["'])(?:https?:)?//[^)"']+""", style.read_text()) == []


def test_the_reference_shows_the_document_that_is_committed(site: Path) -> None:
    page = (site / "reference" / "index.html").read_text()
    document = re.search(r'data-document="([^"]+)"', page)
    assert document is not None
    assert (site / "reference" / document[1]).resolve().read_bytes() == (ROOT / "docs" / "openapi.json").read_bytes()


def test_search_knows_the_pages_of_the_root(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    assert all(text in index for text in ("Quick start", "Your first hour", "Unreleased", "Where a POST goes"))


PICTURES = sorted([*(ROOT / "docs" / "img").glob("screen-*.svg"), *(ROOT / "docs" / "img").glob("dashboard-*.png")])


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_of_what_runs_is_shown(picture: Path) -> None:
    """`make screens` takes them."""
    assert f"(img/{picture.name})" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "img").glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_asks_no_other_server(picture: Path) -> None:
    drawn = picture.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"@import|url\((?!#)|href=|<script", drawn)
