"""Parameters and arithmetic that every list shares."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Query

T = TypeVar("T")

MOST = 500
"""Rows of one page."""
LONGEST_CURSOR = 512

Limit = Annotated[int, Query(ge=1, le=MOST)]
Cursor = Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="`next_cursor` of the previous page.")]


def page_of(found: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """Takes up to `limit + 1` rows. Returns the rows of the page, and whether there are more."""
    return found[:limit], len(found) > limit
