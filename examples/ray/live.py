#!/usr/bin/env python
"""Lists the live tenant actors: state, age, memory, and what they do.

python examples/ray/live.py
python examples/ray/live.py --busy --json
"""

from common import arguments, connection, show

from actors.operator import Operator

COLUMNS = ("name", "status", "age_seconds", "memory_mib", "doing", "execution", "pid", "node")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--busy", action="store_true", help="only those that do something")
    options = parser.parse_args()
    with connection(options):
        actors = Operator().actors()
    rows = [
        {**actor.as_row(), "memory_mib": round(actor.memory_bytes / 2**20, 1), "node": actor.node[:8]}
        for actor in actors
        if actor.doing or actor.execution or not options.busy
    ]
    show(rows, COLUMNS, options.json)


if __name__ == "__main__":
    main()
