"""Pictures of results: `python -m benchmarks.plots [FILE …] [--into DIRECTORY]` draws `bench-<name>.svg` for each
benchmark, by default beside the results.

Without a FILE: of the commit that was measured last. A bar is a value; the line across it is its floor in the same run.
Colours do for light and dark pages. The pictures in the docs are of `benchmarks/measured.jsonl`, and a test compares
them: `python -m benchmarks.plots benchmarks/measured.jsonl --into docs/img`.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.results import MORE_IS_BETTER, RESULTS, Result, best, newest, read

MEASURED = Path(__file__).with_name("measured.jsonl")
PICTURES = Path(__file__).parents[1] / "docs" / "img"
WIDTH = 860
LEFT, RIGHT = 300, 190
"""For the names, and for the numbers."""
ROW, BAR, GAP, HEAD = 24, 14, 30, 30

_STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 13px;
         fill: #7c828c; }
  .unit { font-weight: 700; }
  .name { text-anchor: end; }
  .bar { fill: #3f6fc4; }
  .floor { stroke: #c2702c; stroke-width: 3; }
""".strip("\n")


def drawn(bench: str, results: Sequence[Result]) -> str:
    """The picture of one benchmark: for each unit a scale of its own."""
    units: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        units[result.unit].append(result)
    shapes: list[str] = []
    y = 0
    for unit, group in units.items():
        y += HEAD
        better = "more is better" if unit in MORE_IS_BETTER else "less is better"
        shapes.append(f'<text class="unit" x="{LEFT}" y="{y - 8}">{escape(unit)} ({better})</text>')
        most = max(max(one.value, one.floor or 0) for one in group) or 1
        for one in group:
            shapes += _row(one, y, (WIDTH - LEFT - RIGHT) / most)
            y += ROW
        y += GAP - HEAD + 10
    title = f"{bench}: each bar a value, with its floor of the same run as a line across"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    parts = [head, f"<title>{escape(title)}</title>", f"<style>\n{_STYLE}\n</style>", *shapes, "</svg>"]
    return "\n".join(parts) + "\n"


def _row(result: Result, y: int, scale: float) -> list[str]:
    middle = y + ROW / 2
    length = max(result.value * scale, 1)
    shapes = [
        f'<text class="name" x="{LEFT - 10}" y="{middle + 4:g}">{escape(result.line)}</text>',
        f'<rect class="bar" x="{LEFT}" y="{middle - BAR / 2:g}" width="{length:.1f}" height="{BAR}" rx="2"/>',
    ]
    end, number = LEFT + length, f"{result.value:g}"
    if result.floor is not None:
        at = LEFT + result.floor * scale
        ends = f'y1="{middle - BAR / 2 - 3:g}" y2="{middle + BAR / 2 + 3:g}"'
        shapes.append(f'<line class="floor" x1="{at:.1f}" x2="{at:.1f}" {ends}/>')
        end = max(end, at)
        number += f" (floor {result.floor:g})"
    shapes.append(f'<text x="{end + 8:.1f}" y="{middle + 4:g}">{escape(number)}</text>')
    return shapes


def pictures(results: Sequence[Result]) -> Mapping[str, str]:
    """By the name of its file. Of times, the middle is drawn, and not the worst."""
    benches: dict[str, list[Result]] = defaultdict(list)
    for result in best(results).values():
        if not result.line.endswith(" p99"):
            benches[result.bench].append(result)
    return {f"bench-{bench}.svg": drawn(bench, lines) for bench, lines in benches.items()}


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("files", type=Path, nargs="*", metavar="FILE")
    arguments.add_argument("--into", type=Path, metavar="DIRECTORY", default=RESULTS)
    options = arguments.parse_args(words)
    try:
        results = read(*options.files) if options.files else newest(read(RESULTS))
    except (OSError, ValueError) as error:
        print(f"cannot read results: {error}", file=sys.stderr)
        return 2
    options.into.mkdir(exist_ok=True)
    for name, picture in pictures(results).items():
        (options.into / name).write_text(picture)
        print(options.into / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
