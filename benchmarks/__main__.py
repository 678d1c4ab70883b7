"""`python -m benchmarks`: all of them, one after the other."""

import sys

from benchmarks import path, reads

sys.exit(path.main() or reads.main())
