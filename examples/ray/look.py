#!/usr/bin/env python
"""Asks live actors to compare their tenants with reality now.

python examples/ray/look.py acme globex
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
                operator.look(name)
            except LookupError:
                rows.append({"name": name, "said": f"no live actor; POST /v1/tenants/{name}/reconcile wakes one"})
            else:
                rows.append({"name": name, "said": "looks"})
    show(rows, ("name", "said"), options.json)


if __name__ == "__main__":
    main()
