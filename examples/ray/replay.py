#!/usr/bin/env python
"""Replays what a live actor decided and why: its last decisions, with the versions of the rows that it saw.

python examples/ray/replay.py acme
python examples/ray/replay.py acme --acts
"""

from common import arguments, connection, show

from actors.operator import Operator

COLUMNS = ("number", "at", "times", "what", "why", "status", "generation", "version", "epoch", "fence", "look_again")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("tenant", help="the tenant's name")
    parser.add_argument("--acts", action="store_true", help="leave out the waits")
    options = parser.parse_args()
    with connection(options):
        entries = Operator().decisions(options.tenant)
    rows = [{**entry, **entry["rows"]} for entry in entries if not (options.acts and entry["what"] == "Wait")]
    show(rows, COLUMNS, options.json)


if __name__ == "__main__":
    main()
