"""What the programs beside this file share: where to connect, and how to show rows."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

ADDRESS = "ray://127.0.0.1:10001"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every program has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or ADDRESS,
        help="the Ray client's address as `landlord up` prints it; in a task of the cluster it is not used "
        "(default: RAY_ADDRESS, else that of a home on port 8000)",
    )
    parser.add_argument("--home", help="the home whose file ray-token opens the cluster (default: LANDLORD_HOME)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser


def connection(options: argparse.Namespace) -> AbstractContextManager[None]:
    connected: AbstractContextManager[None] = import_module("actors.operator").connected(options.address)
    return connected


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """A table of these columns; as JSON everything."""
    if as_json:
        json.dump(list(rows), sys.stdout, default=str)
        print()
        return
    cells = [[column.upper() for column in columns], *([text(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_csv(rows: Sequence[Mapping[str, Any]], file: Any) -> None:
    writer = csv.DictWriter(file, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)


def text(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.1f}"
        case dict():
            return " ".join(f"{key}={text(one)}" for key, one in value.items() if one not in (None, ""))
        case list():
            return ", ".join(map(text, value))
    return " ".join(str(value).split())


def _home(words: Sequence[str]) -> str | None:
    for word, next_word in zip(words, [*words[1:], None], strict=True):
        if word == "--home":
            return next_word
        if word.startswith("--home="):
            return word.removeprefix("--home=")
    return os.environ.get("LANDLORD_HOME")


def _use_token(home: str | None) -> None:
    """Ray reads where its token is once, when it is imported: so this comes before any import of it."""
    if home is not None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(Path(home) / "ray-token"))


_use_token(_home(sys.argv))
