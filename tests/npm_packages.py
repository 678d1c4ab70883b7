"""Programs for the suite from npm: each locked folder is installed once for this user, whoever asks first."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landlord-suite"
INSTALL_SECONDS = 300


def install(locked: Path, name: str) -> Path:
    """The directory with `node_modules` as `locked/package-lock.json` says. A failed installation fails the test."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.fail("these tests need npm: apt-get install npm")
    place = CACHE / name
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed(locked, place):
            for file in ("package.json", "package-lock.json"):
                shutil.copy(locked / file, place)
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=place,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                (place / "package-lock.json").unlink()
                pytest.fail(f"npm ci failed:\n{done.stdout}\n{done.stderr}")
    return place


def _is_installed(locked: Path, place: Path) -> bool:
    mine, there = locked / "package-lock.json", place / "package-lock.json"
    installed = place / "node_modules" / ".package-lock.json"
    return installed.exists() and there.exists() and there.read_bytes() == mine.read_bytes()
