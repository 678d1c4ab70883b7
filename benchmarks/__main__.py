"""`python -m benchmarks`: all of them, one after the other."""

import sys

from benchmarks import path

sys.exit(path.main())
