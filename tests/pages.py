"""The pages of the repository, for the tests that hold them to the code."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = sorted([*(ROOT / name for name in _ROOT_PAGES), *DOCS.rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_SPAN = re.compile(r"`([^`\n]+)`")


def prose(page: Path) -> str:
    """A page without its fences."""
    return _FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What a page shows in backticks, outside of fences."""
    return _SPAN.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        found.add(next(name for name in _numbered(plain) if name not in found))
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 0
    while True:
        number += 1
        yield f"{name}-{number}"


def section(page: Path, heading: str) -> str:
    """The text under one heading, up to the next one of its rank or of a higher one."""
    rank = len(heading) - len(heading.lstrip("#"))
    lines = page.read_text().splitlines()
    kept: list[str] = []
    fenced = False
    for line in lines[lines.index(heading) + 1 :]:
        fenced ^= line.startswith("```")
        if not fenced and re.match(rf"#{{1,{rank}}} ", line):
            break
        kept.append(line)
    return "\n".join(kept)


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables in a text, heads included. A bar in a cell is written `\\|`."""
    rows = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("|")]
    return [row[1].strip() for row in rows if set(row[1].strip()) != {"-"}]


def has(body: list[ast.stmt], name: str) -> bool:
    """Whether a module or class has such a (dotted) name."""
    first, _, rest = name.partition(".")
    for one in body:
        if first in _names(one):
            return not rest or has(getattr(one, "body", []), rest)
    return False


def _names(one: Any) -> Iterator[str]:
    if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield one.name
    elif isinstance(one, ast.AnnAssign | ast.Assign):
        targets = [one.target] if isinstance(one, ast.AnnAssign) else one.targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def modules() -> Mapping[str, Path]:
    """Dotted name → file, of all our packages; a package stands for its `__init__`."""
    found = {}
    for package in ("controlplane", "providers", "actors", "landlord_client"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found
