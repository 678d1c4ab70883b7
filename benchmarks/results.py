"""The results of benchmarks: JSON lines in files beneath `benchmarks/results/`, one file for each run.

A line: `{bench, line, value, unit, floor, ratio, commit, at}`. `floor`: the same work without Landlord, or its peer,
measured in the same run; `ratio`: value / floor. Both are null where there is no floor. `commit` ends with `+` if the
tree was changed.
"""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MORE_IS_BETTER = frozenset({"1/s"})
"""Units."""
_FIGURES: Mapping[str, tuple[str, str | None]] = {
    "p50": ("", None),
    "p99": ("p99", None),
    "per_second": ("at once", "1/s"),
    "cpu_ms": ("cpu", "ms"),
    "cpu": ("cpu", None),
    "pss_mb": ("memory", "MB"),
    "grown_mb": ("growth", "MB"),
    "grown_late_mb": ("growth in the second half", "MB"),
    "seconds": ("", "s"),
    "cpu_seconds": ("cpu", "s"),
    "share": ("share", "% of a core"),
}
"""Figures of a benchmark's own line: what its name becomes, and its unit, if that is not the line's."""
_COUNTS = frozenset({"tenants", "at_once", "rounds"})
"""Numbers of such a line that say what was measured, as its texts do."""
_NO_FIGURES = frozenset({"floor_p50", "ratio", "above_floor"})


@dataclass(frozen=True, slots=True)
class Result:
    bench: str
    line: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    commit: str = ""
    at: str = ""

    @property
    def name(self) -> str:
        return f"{self.bench} {self.line}"

    def better(self, other: "Result") -> bool:
        """Whether this one is better than another of the same line. Of two with a floor, the ratio says so."""
        mine, theirs = (self.ratio, other.ratio) if self.ratio and other.ratio else (self.value, other.value)
        return mine > theirs if self.unit in MORE_IS_BETTER else mine < theirs


def results(bench: str, line: Mapping[str, Any]) -> Iterator[Result]:
    """A benchmark's own line (`metric`, `unit`, and figures by name), as one result for each figure. `floor_p50` is the
    floor of `p50`, `floor_X` that of X. `n` is a figure if there is no `p50`, which it would be the number of."""
    counts = (f"{name}={value}" for name, value in line.items() if name in _COUNTS)
    texts = (value for name, value in line.items() if isinstance(value, str) and name not in ("metric", "unit"))
    subject = " ".join([line["metric"], *texts, *counts])
    for name, value in line.items():
        if not isinstance(value, int | float) or name in _NO_FIGURES | _COUNTS or name.startswith("floor_"):
            continue
        if name == "n" and "p50" in line:
            continue
        suffix, unit = ("", None) if name == "n" else _FIGURES.get(name, (name, None))
        floor = line.get(f"floor_{name}")
        ratio = round(value / floor, 3) if floor else None
        yield Result(bench, f"{subject} {suffix}".strip(), value, unit or line["unit"], floor, ratio)


def write(bench: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """The results of a run, to stdout and to a file of its own beside those of other runs."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    which = commit()
    with (RESULTS / f"{bench}-{now:%Y%m%dT%H%M%SZ}.jsonl").open("w") as out:
        for line in lines:
            for result in results(bench, line):
                said = json.dumps({**asdict(result), "commit": which, "at": now.isoformat(timespec="seconds")})
                print(said)
                print(said, file=out)


def read(*paths: Path) -> list[Result]:
    """All results of these files, and of all files in these directories. Raises ValueError for a line that is none."""
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    found = []
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            try:
                found.append(Result(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{file}:{number} is no result: {error}") from None
    return found


def best(found: Iterable[Result]) -> dict[str, Result]:
    """The best of each line: other load of the machine only ever makes it worse."""
    kept: dict[str, Result] = {}
    for result in found:
        if result.name not in kept or result.better(kept[result.name]):
            kept[result.name] = result
    return kept


def newest(found: Iterable[Result]) -> list[Result]:
    """Those of the commit that was measured last."""
    known = list(found)
    last = max(known, key=lambda result: result.at, default=None)
    return [result for result in known if last is not None and result.commit == last.commit]


def commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
