"""`python -m benchmarks`: all of them, one after the other."""

import sys

from benchmarks import path, reads, statements

sys.exit(statements.main() or path.main() or reads.main())
