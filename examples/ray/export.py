#!/usr/bin/env python
"""Exports the live actors, or the decisions of one, for a data frame: CSV, or Parquet with pyarrow.

  python examples/ray/export.py --out actors.csv
  python examples/ray/export.py --decisions acme --out acme.parquet

In a notebook, `pandas.DataFrame(rows)` takes what `rows_of()` returns.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from common import arguments, connection, text, write_csv

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--decisions", metavar="TENANT", help="this actor's decisions instead of the list of actors")
    parser.add_argument("--out", type=Path, help="a file ending in .csv or .parquet (default: CSV to stdout)")
    options = parser.parse_args()
    with connection(options):
        rows = rows_of(options.decisions)
    kind = ".csv" if options.out is None else options.out.suffix
    if options.out is None:
        write_csv(rows, sys.stdout)
    elif kind == ".csv":
        with options.out.open("w", newline="") as file:
            write_csv(rows, file)
    elif kind == ".parquet":
        write_parquet(rows, options.out)
    else:
        parser.error(f"--out: {options.out} ends in neither .csv nor .parquet")


def rows_of(tenant: str | None) -> list[dict[str, Any]]:
    """Flat rows: the live actors, or the decisions of this tenant's."""
    if tenant is None:
        return [actor.as_row() for actor in Operator().actors()]
    return [
        {**{name: value for name, value in entry.items() if name not in ("why", "rows")}, "why": text(entry["why"])}
        | entry["rows"]
        for entry in Operator().decisions(tenant)
    ]


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        sys.exit("Parquet needs pyarrow: `pip install pyarrow`, or --out with .csv")
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)


if __name__ == "__main__":
    main()
