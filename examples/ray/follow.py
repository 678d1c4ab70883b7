#!/usr/bin/env python
"""Follows a tenant's execution live: each decision of its actor and each step, until nothing is under way.

python examples/ray/follow.py acme --timeout 600
"""

import json

from common import arguments, connection, text

from actors.operator import Operator


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("tenant", help="the tenant's name")
    parser.add_argument("--after", type=int, help="begin after the decision of this number, 0 for all (default: now)")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds (default: %(default)g)")
    options = parser.parse_args()
    with connection(options):
        for entry in Operator().follow(options.tenant, after=options.after, timeout=options.timeout):
            if options.json:
                print(json.dumps(entry), flush=True)
            else:
                print(
                    f"{entry['at']}  {entry['rows'].get('status', ''):<12}  {entry['what']:<16}  {text(entry['why'])}"
                )


if __name__ == "__main__":
    main()
