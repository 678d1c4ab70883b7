"""What an installation costs that does nothing: `python -m benchmarks.rest [--seconds N]`.

Per cent of one core and MB (proportional), by kind of process, over N seconds with no tenant and no request. Processes
are found by their home, as the command finds them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.installed import home, installed
from benchmarks.results import write
from benchmarks.spent import Spent, memory
from tests.e2e.installation import Installation

SETTLE_SECONDS = 20.0


def measure(installation: Installation, seconds: float) -> list[dict[str, Any]]:
    time.sleep(SETTLE_SECONDS)
    spent, began = Spent(installation.processes), time.monotonic()
    time.sleep(seconds)
    spent.look()
    passed = time.monotonic() - began
    share = {kind: cpu / passed * 100 for kind, cpu in spent.by_kind().items()}
    mb = memory(installation.processes())
    lines = [_line(kind, cpu, mb.get(kind, 0.0)) for kind, cpu in share.items()]
    return [*lines, _line("all", sum(share.values()), sum(mb.values()))]


def _line(kind: str, cpu: float, mb: float) -> dict[str, Any]:
    return {"metric": "rest", "kind": kind, "unit": "% of a core", "cpu": round(cpu, 2), "pss_mb": round(mb)}


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--seconds", type=float, default=60.0)
    seconds = arguments.parse_args(words).seconds
    with home() as place, installed(place, LANDLORD_COMPUTE_PROVIDERS="process") as installation:
        write("rest", measure(installation, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
