"""Our own processes are closed to whoever may not look into every process."""

import subprocess
import sys
from pathlib import Path

from controlplane.local import hardening

CORE = """
import os, resource, sys
from controlplane.local.hardening import forbid_core_dumps, hide
forbid_core_dumps()
hide()
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
child = os.fork()
if child == 0:
    import ctypes
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_it_holds_for_forks_and_leaves_no_core() -> None:
    done = subprocess.run([sys.executable, "-c", CORE], capture_output=True, text=True, check=True)
    limits, dumpable = done.stdout.splitlines()
    assert limits == "(0, 0)"
    assert dumpable == ("0" if hardening._may_trace() else "1")


def test_only_where_we_still_see_it_ourselves(tmp_path: Path) -> None:
    status = tmp_path / "status"
    for capabilities, expected in (("000001ffffffffff", True), ("00000000a80425fb", False), ("0" * 16, False)):
        status.write_text(f"Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t{capabilities}\n")
        assert hardening._may_trace(status) is expected
