"""Each block of shell commands in the pages is run by a test, and each that is said to be there is."""

import pytest

from tests.e2e.blocks import ELSEWHERE, HERE, Block, blocks
from tests.pages import ROOT

BLOCKS = blocks()


@pytest.mark.parametrize("block", BLOCKS, ids=[f"{block.name}: {block.text.splitlines()[0][:40]}" for block in BLOCKS])
def test_each_block_is_run(block: Block) -> None:
    """A new one is run in tests/e2e/test_pages.py, or tests/e2e/blocks.py says by which test it is."""
    found = [begins for page, begins in {*HERE, *ELSEWHERE} if page == block.name and block.text.startswith(begins)]
    assert len(found) == 1, "say in tests/e2e/blocks.py who runs it"


def test_each_that_is_named_is_there() -> None:
    gone = [
        (page, begins)
        for page, begins in {*HERE, *ELSEWHERE}
        if not any(block.name == page and block.text.startswith(begins) for block in BLOCKS)
    ]
    assert gone == []


def test_each_that_is_run_here_is_named_by_its_test() -> None:
    text = (ROOT / "tests" / "e2e" / "test_pages.py").read_text()
    assert [begins for _, begins in HERE if f'"{begins}"' not in text] == []


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_each_runner_is_there(where: str) -> None:
    if where.startswith("make "):
        assert f"\n{where.removeprefix('make ')}: " in (ROOT / "Makefile").read_text()
    else:
        assert list((ROOT / "tests").rglob(where))
