"""Shows documents: a table for people, JSON or YAML as the API gave them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.table import Table
from rich.text import Text

from controlplane.cli.console import output
from landlord_client.models import Document


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


FormatOption = Annotated[Format, typer.Option("--output", "-o", help="table, json or yaml.")]

COLOURS = {
    "ready": "green",
    "succeeded": "green",
    "up": "green",
    "healthy": "green",
    "active": "green",
    "failed": "red",
    "down": "red",
    "unhealthy": "red",
    "degraded": "yellow",
    "draining": "yellow",
    "backing-off": "yellow",
    "expired": "yellow",
    "revoked": "dim",
    "superseded": "dim",
}


def show(document: Any, format: Format, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """`document`, or a list of them, as JSON or YAML as the API gave them; or `rows` under `columns`."""
    document = plain(document)
    match format:
        case Format.JSON:
            output.print(json.dumps(document, indent=2), markup=False)
        case Format.YAML:
            output.print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip(), markup=False)
        case Format.TABLE:
            table(columns, rows)


def plain(document: Any) -> Any:
    """What JSON and YAML know: the documents of answers as they came."""
    if isinstance(document, list):
        return [plain(one) for one in document]
    return document.document if isinstance(document, Document) else document


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """On a terminal, colour the cells by state. In a pipe, print plain text of full width, for `grep`."""
    titles = [column.upper() for column in columns]
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    if output.is_terminal:
        output.print(coloured(columns, rows))
        return
    widths = [max(len(row[index]) for row in [titles, *cells]) for index in range(len(titles))]
    for row in [titles, *cells]:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        output.print(line.rstrip(), markup=False)


def coloured(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """The table of a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        # Fold, do not cut off: people copy ids.
        shown.add_column(column.upper(), overflow="fold")
    for row in rows:
        cells = ["" if value is None else str(value) for value in row]
        shown.add_row(*(Text(text, style=COLOURS.get(text, "")) for text in cells))
    return shown


def instant(at: datetime | None) -> str | None:
    """A time of the API for a table: to the second."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def fields(values: Mapping[str, object]) -> None:
    """Name and value, one a line, aligned."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        output.print(f"{name:<{width}}  {value}", markup=False)
