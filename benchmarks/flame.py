"""Flame graphs, as SVG. A bar is a function, and stands on the one that called it; its width is its share of the
samples. Bars that are too narrow to see are left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW = 1100, 19
NARROWEST = 0.004
"""Share of the samples."""
PER_LETTER = 6.6
"""Pixels."""
_COLOURS = {"controlplane": "#3f6fc4", "ray": "#c2702c", "asyncpg": "#3d8f5f", "sqlalchemy": "#3d8f5f"}
_OTHER = "#7c828c"
_STYLE = """
  text { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 11px; fill: #fff; }
  rect { stroke: #fff; stroke-width: 0.5; }
""".strip("\n")


@dataclass
class Bar:
    """A function in its place, and what it calls."""

    samples: int = 0
    calls: "dict[str, Bar]" = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return 1 + max((bar.depth for bar in self.calls.values()), default=0)


def tree(stacks: Iterable[tuple[Sequence[str], int]], narrowest: float = NARROWEST) -> Bar:
    """Of stacks, outermost first, and how often each was seen. A function is `name (path)`. The root holds them all."""
    root = Bar()
    for stack, count in stacks:
        bar = root
        bar.samples += count
        for function in stack:
            bar = bar.calls.setdefault(function, Bar())
            bar.samples += count
    _prune(root, narrowest * root.samples)
    return root


def _prune(bar: Bar, least: float) -> None:
    bar.calls = {name: one for name, one in bar.calls.items() if one.samples >= least}
    for one in bar.calls.values():
        _prune(one, least)


def drawn(root: Bar) -> str:
    """As SVG. Each bar says its function and its share to whoever points at it."""
    height = (root.depth - 1) * ROW
    shapes: list[str] = []
    _draw(root, 0.0, height, WIDTH / max(1, root.samples), root.samples, shapes)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<style>\n{_STYLE}\n</style>", *shapes, "</svg>"]) + "\n"


def _draw(bar: Bar, x: float, y: int, scale: float, all_samples: int, shapes: list[str]) -> None:
    for name, one in sorted(bar.calls.items()):
        width, top = one.samples * scale, y - ROW
        function, _, path = name.partition(" (")
        said = escape(f"{name}: {100 * one.samples / all_samples:.1f} %")
        colour = next((colour for part, colour in _COLOURS.items() if part in path), _OTHER)
        place = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{ROW}"'
        shapes.append(f'<rect {place} fill="{colour}"><title>{said}</title></rect>')
        letters = int((width - 6) / PER_LETTER)
        if letters >= 3:
            shapes.append(f'<text x="{x + 3:.1f}" y="{top + 13}">{escape(function[:letters])}</text>')
        _draw(one, x, top, scale, all_samples, shapes)
        x += width
