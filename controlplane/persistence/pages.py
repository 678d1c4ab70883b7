"""Pages that are bounded by bytes as well as by rows: a client chooses how large the rows are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

T = TypeVar("T")

PAGE_BYTES = 1024 * 1024
"""Bytes of JSON after which a page ends; it has one row at least."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`more`: there are rows behind these. `bytes`: the size of the JSON in the rows."""

    items: Sequence[T]
    more: bool
    bytes: int


def chosen(keys: Select[Any], order: str, limit: int, *, newest_first: bool = False) -> Subquery:
    """Of the rows of `keys`, as many as fit a page. `keys` gives `bytes` and the column `order` of each row, in that
    order. The result has that column, the bytes `upto` the row, and whether there is `more` behind it."""
    # Written out: by the number of rows, Postgres would plan each execution (`prepared.unseen`).
    found = keys.limit(literal_column(str(limit + 1), Integer)).subquery()
    key = found.c[order]
    order_by = key.desc() if newest_first else key
    counted = select(
        key,
        func.sum(found.c.bytes).over(order_by=order_by, rows=(None, 0)).label("upto"),
        func.row_number().over(order_by=order_by, rows=(None, 0)).label("number"),
        func.count().over().label("found"),
    ).subquery()
    fits = and_(counted.c.number <= limit, or_(counted.c.upto <= PAGE_BYTES, counted.c.number == 1))
    more = counted.c.found > counted.c.number
    return select(counted.c[order], counted.c.upto, more.label("more")).where(fits).subquery()


def page_of(rows: Sequence[Mapping[Any, Any]], read: Callable[[Any], T]) -> Page[T]:
    """`rows`: in the order of the page, with `upto` and `more` of `chosen`."""
    if not rows:
        return Page((), False, 0)
    return Page([read(row) for row in rows], bool(rows[-1]["more"]), int(rows[-1]["upto"]))


def size(*columns: ColumnElement[Any]) -> ColumnElement[int]:
    """The bytes of the JSON of these columns, as `chosen` wants them."""
    total: ColumnElement[int] = literal(0)
    for column in columns:
        total = total + func.octet_length(cast(column, Text))
    return total.label("bytes")


def without_config(executions: Table) -> ColumnElement[Any]:
    """The spec of an execution, for readers that show none of it: its config may be large, and is left out."""
    path = cast(["compute", "config"], ARRAY(Text))
    return func.jsonb_set(executions.c.spec, path, literal({}, JSONB), type_=JSONB).label("spec")
