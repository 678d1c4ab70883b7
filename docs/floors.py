"""`python docs/floors.py`: draws docs/img/floors.svg, the floors of the house, from the import contracts.

Reads `[tool.importlinter]` of pyproject.toml, and the tree where a contract names all modules of a folder. `make docs`
runs it, and a test compares the picture with it, so the picture cannot rot. Its colours do for light and dark pages.
"""

import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "img" / "floors.svg"
ROOT_MODULE = "serve_app"

WIDTH = 920
MARGIN = 44
"""On the left, for the arrow."""
ROOM = 30
"""Height of a room; one with smaller rooms in it is as high again."""
GAP = 6
PAD = 12
HEAD = 30
LINE = 17
COLUMNS = 122
"""Characters of a line under the house."""
COLOURS = {
    "serve_app": "#546e7a",
    "actors": "#7e57c2",
    "providers": "#00897b",
    "controlplane": "#3f6fc4",
    "landlord_client": "#c2702c",
}

_STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 13px; }
  .room { fill: #fff; text-anchor: middle; font-weight: 600; }
  .inner { fill: #fff; text-anchor: middle; font-size: 12px; }
  .house { fill: #80869018; stroke: #8086908c; }
  .wall { fill: none; stroke: #fff; stroke-opacity: .75; stroke-dasharray: 3 3; }
  .name { fill: #7c828c; font-size: 15px; font-weight: 700; }
  .note { fill: #7c828c; font-size: 12px; }
  .rule { fill: #7c828c; font-weight: 700; }
  .way { stroke: #7c828c; fill: none; stroke-width: 1.5; }
""".strip("\n")


@dataclass(frozen=True, slots=True)
class Package:
    """One block of the house. `floors`: from the top, the rooms of each; `inside`: smaller rooms, by room."""

    name: str
    note: str
    floors: Sequence[Sequence[str]]
    inside: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def height_of(self, floor: Sequence[str]) -> int:
        return 2 * ROOM if any(room in self.inside for room in floor) else ROOM

    @property
    def height(self) -> int:
        return HEAD + sum(self.height_of(floor) + GAP for floor in self.floors) - GAP + PAD


def packages(contracts: Sequence[Mapping[str, Any]], root: Path) -> list[Package]:
    """From the top of the house, the composition root first."""
    outer = next(contract for contract in contracts if contract["type"] == "layers" and "containers" not in contract)
    inner = {contract["containers"][0]: contract for contract in contracts if "containers" in contract}
    alone = [pattern for contract in contracts if contract["type"] == "independence" for pattern in contract["modules"]]
    top = Package(ROOT_MODULE, "the composition root: nobody imports it", [])
    return [top, *(_package(name, inner[name], alone, root) for name in outer["layers"])]


def _package(name: str, contract: Mapping[str, Any], alone: Sequence[str], root: Path) -> Package:
    floors = [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    inside = {room: modules_in(root / name / room) for floor in floors for room in floor if f"{name}.{room}.*" in alone}
    return Package(name, contract["name"], floors, inside)


def modules_in(folder: Path) -> list[str]:
    """The modules and packages of a folder, by name."""
    found = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(found - {"__init__", "__main__"})


def rules(contracts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The contracts that are no floors: name, and what it says."""
    for contract in contracts:
        if contract["type"] == "forbidden":
            never = ", ".join(contract["forbidden_modules"])
            yield contract["name"], f"{', '.join(contract['source_modules'])}: no import of {never}"
        elif contract["type"] == "independence":
            yield contract["name"], f"{', '.join(contract['modules'])}: none imports another"


def draw(contracts: Sequence[Mapping[str, Any]], root: Path) -> str:
    """The whole picture, as SVG."""
    parts: list[str] = []
    y = PAD
    for package in packages(contracts, root):
        parts += _house(package, y)
        y += package.height + GAP + 2
    parts += _arrow(PAD, y - GAP - 2)
    y += 2 * LINE
    for name, text in rules(contracts):
        parts.append(_text("rule", MARGIN, y, name))
        for line in textwrap.wrap(text, COLUMNS):
            y += LINE
            parts.append(_text("note", MARGIN, y, line))
        y += LINE + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">\n'
        f"<title>The floors: a module imports from lower floors only</title>\n<style>\n{_STYLE}\n</style>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _house(package: Package, y: int) -> Iterator[str]:
    height = package.height if package.floors else HEAD + GAP
    yield f'<rect class="house" x="{MARGIN}" y="{y}" width="{WIDTH - MARGIN - PAD}" height="{height}" rx="8"/>'
    colour = COLOURS[package.name]
    yield f'<rect fill="{colour}" x="{MARGIN + PAD}" y="{y + 12}" width="10" height="10" rx="2"/>'
    yield _text("name", MARGIN + PAD + 18, y + 22, package.name)
    yield _text("note", MARGIN + 150, y + 22, package.note)
    y += HEAD + GAP // 2
    for floor in package.floors:
        yield from _floor(package, floor, y)
        y += package.height_of(floor) + GAP


def _floor(package: Package, floor: Sequence[str], y: int) -> Iterator[str]:
    whole = WIDTH - MARGIN - 3 * PAD - GAP * (len(floor) - 1)
    wanted = [max(len(room), sum(len(one) + 4 for one in package.inside.get(room, ()))) + 4 for room in floor]
    x = float(MARGIN + PAD)
    for room, share in zip(floor, wanted, strict=True):
        width = whole * share / sum(wanted)
        yield from _room(package, room, x, y, width, package.height_of(floor))
        x += width + GAP


def _room(package: Package, room: str, x: float, y: int, width: float, height: int) -> Iterator[str]:
    colour = COLOURS[package.name]
    yield f'<rect fill="{colour}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="5"/>'
    yield _text("room", x + width / 2, y + 20, room)
    inside = package.inside.get(room, ())
    each = (width - 2 * GAP) / max(1, len(inside))
    for number, name in enumerate(inside):
        left = x + GAP + number * each
        place = f'x="{left + 2:.1f}" y="{y + ROOM}" width="{each - 4:.1f}" height="{ROOM - GAP}"'
        yield f'<rect class="wall" {place} rx="4"/>'
        yield _text("inner", left + each / 2, y + ROOM + 16, name)


def _arrow(top: int, bottom: int) -> Iterator[str]:
    x = MARGIN / 2
    yield f'<path class="way" d="M{x} {top + 4} V{bottom - 2} m-5 -9 l5 9 l5 -9"/>'
    middle = (top + bottom) // 2
    yield (
        f'<text class="note" text-anchor="middle" transform="translate({x - 7} {middle}) rotate(-90)">'
        "imports go down, never up</text>"
    )


def _text(kind: str, x: float, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def picture() -> str:
    """What the contracts of this repository look like."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return draw(tomllib.load(file)["tool"]["importlinter"]["contracts"], ROOT)


if __name__ == "__main__":
    PICTURE.write_text(picture())
