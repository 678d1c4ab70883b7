"""What an installation costs that does nothing: `python -m benchmarks.rest [--seconds N]`.

Per cent of one core and MB (proportional), by kind of process, over N seconds with no tenant and no request. Processes
are found by their home, as the command finds them.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import write
from tests.e2e.installation import Installation, free_port

KINDS = {
    "serve controller and proxies": r"ServeController|ProxyActor|HAProxyManager",
    "replicas": r"ServeReplica",
    "supervisor": r"Supervisor",
    "postgres": r"postgres",
    "haproxy": r"haproxy",
    "gcs": r"gcs_server",
    "raylet": r"raylet",
    "fork servers": r"forkserver",
    "workers that stand ready": r"ray::IDLE",
    "log monitor": r"log_monitor",
    "dashboard and agents": r"dashboard|runtime_env|monitor\.py",
    "client server": r"ray\.util\.client",
}
SETTLE_SECONDS = 20.0


def kind_of(process: psutil.Process) -> str:
    said = " ".join([process.name(), *process.cmdline()])
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, said)), "other")


def measure(installation: Installation, seconds: float) -> list[dict[str, Any]]:
    time.sleep(SETTLE_SECONDS)
    processes = list(installation.processes())
    before = {process.pid: sum(process.cpu_times()[:2]) for process in processes}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    cpu, memory = defaultdict[str, float](float), defaultdict[str, float](float)
    for process in processes:
        try:
            kind = kind_of(process)
            cpu[kind] += (sum(process.cpu_times()[:2]) - before[process.pid]) / passed * 100
            memory[kind] += process.memory_full_info().pss / 2**20
        except psutil.NoSuchProcess:
            continue
    lines = [
        {
            "metric": "rest",
            "kind": kind,
            "unit": "% of a core",
            "cpu": round(cpu[kind], 2),
            "pss_mb": round(memory[kind]),
        }
        for kind in sorted(cpu, key=lambda kind: -cpu[kind])
    ]
    total = {"cpu": round(sum(cpu.values()), 2), "pss_mb": round(sum(memory.values()))}
    return [*lines, {"metric": "rest", "kind": "all", "unit": "%", **total}]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--seconds", type=float, default=60.0)
    seconds = arguments.parse_known_args()[0].seconds
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    # A test's installation sweeps five times as often.
    installation = Installation(home, free_port(), LANDLORD_COMPUTE_PROVIDERS="process", LANDLORD_SWEEP_SECONDS="10")
    try:
        installation.up()
        lines = measure(installation, seconds)
    finally:
        installation.run("down", "--purge", check=False)
    shutil.rmtree(home, ignore_errors=True)
    write("rest", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
