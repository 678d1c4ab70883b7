"""`python -m benchmarks [NAME …] [--tiny]`: these, or all of them, one after the other.

`--tiny`: with the smallest numbers, to see that they run. One that fails is told, and the others follow. Exit 1: one
has failed.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from benchmarks import (
    actor,
    begin,
    burst,
    engines,
    fleet,
    machines,
    memory,
    path,
    profile,
    reads,
    recovery,
    rest,
    scale,
    statements,
    tracing,
)

BENCHMARKS: Mapping[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "statements": (statements.main, ""),
    "actor": (actor.main, "--rounds 1"),
    "scale": (scale.main, "--tenants 200"),
    "fleet": (fleet.main, "--tenants 100"),
    "rest": (rest.main, "--seconds 2"),
    "begin": (begin.main, "--rounds 1"),
    "reads": (reads.main, "--tenants 200 --rounds 20"),
    "profile": (profile.main, "--tenants 200 --seconds 2"),
    "path": (path.main, "--rounds 1"),
    "engines": (engines.main, "--rounds 1"),
    "burst": (burst.main, "--tenants 4"),
    "machines": (machines.main, "--tenants 4 --machines 2"),
    "memory": (memory.main, "--actors 2 --tenants 100"),
    "recovery": (recovery.main, "--tenants 4"),
    "tracing": (tracing.main, "--rounds 1 --tenants 2"),
}
"""Each with the words that make it tiny."""


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description="all benchmarks, or those named")
    arguments.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    arguments.add_argument("--tiny", action="store_true", help="with the smallest numbers, to see that they run")
    options = arguments.parse_args(words)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        arguments.error(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    failed = 0
    for name in options.names or BENCHMARKS:
        run, tiny = BENCHMARKS[name]
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            failed |= run(tiny.split() if options.tiny else [])
        except Exception:
            traceback.print_exc()
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
