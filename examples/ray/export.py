#!/usr/bin/env python
"""Exports the live actors, or the decisions of one, as CSV, for a data frame.

  python examples/ray/export.py --out actors.csv
  python examples/ray/export.py --decisions acme --out acme.csv

`pandas.read_csv` reads it; in a notebook, `pandas.DataFrame` takes what `rows_of()` returns as it is.
"""

import sys
from pathlib import Path
from typing import Any

from common import arguments, connection, text, write_csv

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--decisions", metavar="TENANT", help="this actor's decisions instead of the list of actors")
    parser.add_argument("--out", type=Path, help="a file (default: stdout)")
    options = parser.parse_args()
    with connection(options):
        rows = rows_of(options.decisions)
    if options.out is None:
        write_csv(rows, sys.stdout)
        return
    with options.out.open("w", newline="") as file:
        write_csv(rows, file)


def rows_of(tenant: str | None) -> list[dict[str, Any]]:
    """Flat rows: the live actors, or the decisions of this tenant's."""
    if tenant is None:
        return [actor.as_row() for actor in Operator().actors()]
    return [
        {**{name: value for name, value in entry.items() if name not in ("why", "rows")}, "why": text(entry["why"])}
        | entry["rows"]
        for entry in Operator().decisions(tenant)
    ]


if __name__ == "__main__":
    main()
