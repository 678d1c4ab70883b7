"""Programs of ours that run beside a tenant's command, each from a file of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def begin(program: Path, *words: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start it, with nothing of our environment and of Python's sites, and with a pipe as its stdin. What it is told
    goes through that, since no file and no command line may have a secret. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), *words],
        env={"PATH": os.environ.get("PATH", DEFAULT_PATH), "LANG": os.environ.get("LANG", "C.UTF-8")},
        cwd="/",
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **options,
    )
