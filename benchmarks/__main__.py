"""`python -m benchmarks`: all of them, one after the other."""

import sys

from benchmarks import actor, fleet, path, reads, rest, scale, statements, tracing

sys.exit(
    statements.main()
    or actor.main()
    or scale.main()
    or fleet.main()
    or rest.main()
    or path.main()
    or reads.main()
    or tracing.main()
)
