#!/usr/bin/env python
"""Asks live actors to leave as soon as they are at rest. Their tenants' compute stays.

python examples/ray/dismiss.py acme globex
"""

from common import arguments, connection, show

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("tenants", nargs="+", metavar="tenant", help="a tenant's name")
    options = parser.parse_args()
    rows = []
    with connection(options):
        operator = Operator()
        for name in options.tenants:
            try:
                operator.dismiss(name)
            except LookupError:
                rows.append({"name": name, "said": "no live actor"})
            else:
                rows.append({"name": name, "said": "asked to leave"})
    show(rows, ("name", "said"), options.json)


if __name__ == "__main__":
    main()
