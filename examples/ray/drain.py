#!/usr/bin/env python
"""Drains the actors of one node, or of all, before maintenance. Their tenants' compute stays.

A tenant that becomes due comes back: `landlord drain` first, so that this cluster begins nothing new. Ends with exit
code 1 if an actor is still at work after --timeout.

  python examples/ray/drain.py --node 4f1c --timeout 300
"""

import sys

from common import arguments, connection, show

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--node", help="the beginning of Ray's id of the node, as live.py shows it (default: all)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds (default: %(default)g)")
    options = parser.parse_args()
    with connection(options):
        left = Operator().drain(options.node, timeout=options.timeout)
    show([actor.as_row() for actor in left], ("name", "status", "execution", "doing"), options.json)
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
