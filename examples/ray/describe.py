#!/usr/bin/env python
"""Shows all that one live actor says of itself; without a name, the supervisor and its last sweep.

python examples/ray/describe.py acme
python examples/ray/describe.py
"""

import json

from common import arguments, connection, text

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("tenant", nargs="?", help="the tenant's name")
    options = parser.parse_args()
    with connection(options):
        operator = Operator()
        found = operator.tenant(options.tenant) if options.tenant else operator.supervisor()
    if options.json:
        print(json.dumps(found, default=str))
        return
    for name, value in found.items():
        print(f"{name:<12}  {text(value)}")


if __name__ == "__main__":
    main()
