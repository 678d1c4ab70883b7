"""What got slower: `python -m benchmarks.compare BASE [RUN …]`, or `make bench-compare BASE=<file>`.

BASE and RUN are files of results, or directories of them; RUN left out: the commit that was measured last, of those in
`benchmarks/results/`. Of several runs, the best of each line counts. Lines with a floor are compared by their ratio to
it, since the floor of the same run has the load of the machine in it; counts (statements, bytes) by their value. Times
without a floor say more of the machine than of the code: they are shown, and judge nothing. Exit 1: something got
slower by more than the tolerance, or a line of BASE that would be judged is missing from the run.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.results import MORE_IS_BETTER, RESULTS, Result, best, newest, read

TOLERANCE = 0.25
COUNTED = frozenset({"statements", "transactions", "bytes"})
"""Units that no load changes."""
COUNT_TOLERANCE = 0.02


def compared(base: Mapping[str, Result], run: Mapping[str, Result], tolerance: float) -> Iterator[tuple[str, bool]]:
    """A text for each line of `base`, and whether it is a reason to fail. Benchmarks that were not run are left out."""
    ran = {result.bench for result in run.values()}
    for name, before in base.items():
        if before.bench not in ran:
            continue
        now = run.get(name)
        if now is None:
            judged = before.ratio is not None or before.unit in COUNTED
            yield f"missing   {name}", judged
        elif before.ratio and now.ratio:
            worse = _worse(before.ratio, now.ratio, before.unit)
            told = f"{before.ratio:g} of its floor, now {now.ratio:g}"
            yield _text(name, worse, tolerance, told), worse > tolerance
        elif before.unit in COUNTED:
            worse = _worse(before.value, now.value, before.unit)
            told = f"{before.value:g} {before.unit}, now {now.value:g}"
            yield _text(name, worse, COUNT_TOLERANCE, told), worse > COUNT_TOLERANCE
        else:
            yield f"no floor  {name}: {before.value:g} {before.unit}, now {now.value:g}", False


def _worse(before: float, now: float, unit: str) -> float:
    """By which share it got worse; negative: better."""
    if not before or not now:
        return 0.0 if before == now else (float("inf") if bool(now) != (unit in MORE_IS_BETTER) else -1.0)
    return (before / now if unit in MORE_IS_BETTER else now / before) - 1


def _text(name: str, worse: float, tolerance: float, told: str) -> str:
    word = "slower" if worse > tolerance else "faster" if worse < -tolerance else "same"
    return f"{word:<9} {name}: {told}"


def main(words: list[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("base", type=Path)
    arguments.add_argument("run", type=Path, nargs="*")
    arguments.add_argument("--tolerance", type=float, default=TOLERANCE, help="share, default %(default)s")
    options = arguments.parse_args(words)
    try:
        base = best(read(options.base))
        run = best(read(*options.run) if options.run else newest(read(RESULTS)))
    except (OSError, ValueError) as error:
        print(f"cannot read results: {error}", file=sys.stderr)
        return 2
    found = list(compared(base, run, options.tolerance))
    for text, _ in sorted(found, key=lambda one: not one[1]):
        print(text)
    if not found:
        print("nothing to compare: the run has no benchmark of BASE", file=sys.stderr)
        return 2
    return int(any(slower for _, slower in found))


if __name__ == "__main__":
    sys.exit(main())
