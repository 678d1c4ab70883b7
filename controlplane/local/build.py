"""The identity of this code. `up` compares it with the running code."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import controlplane

PARTS = ("controlplane", "actors", "providers", "landlord_client", "serve_app.py")


@cache
def build_id() -> str:
    """`<version>+<8 hex digits over the sources>`: the same for the same code wherever it is installed."""
    root = Path(controlplane.__file__).parent.parent
    digest = hashlib.sha256()
    for part in PARTS:
        path = root / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(file.read_bytes() if file.is_file() else b"")
    return f"{version('landlord')}+{digest.hexdigest()[:8]}"
