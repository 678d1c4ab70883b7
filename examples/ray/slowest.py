#!/usr/bin/env python
"""Finds the ten slowest provisions of the last hour, and where their time went.

python examples/ray/slowest.py
python examples/ray/slowest.py --action update --within 86400 --most 50
"""

from common import arguments, connection, show

from actors.operator import Operator

COLUMNS = ("tenant", "seconds", "queued_seconds", "retries", "state", "engine", "steps", "error")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--action", choices=("provision", "update", "delete"), default="provision")
    parser.add_argument("--within", type=float, default=3600.0, help="seconds (default: %(default)g)")
    parser.add_argument("--most", type=int, default=10, help="how many (default: %(default)s)")
    options = parser.parse_args()
    with connection(options):
        found = Operator().slowest(options.action, within=options.within, most=options.most)
    show(found, COLUMNS, options.json)


if __name__ == "__main__":
    main()
